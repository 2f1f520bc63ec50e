"""The records of a committed state, read under one transaction and kept for the transactions after it."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import lmdb
import numpy as np
import numpy.typing as npt

from pqstore.arrays import U8
from pqstore.errors import CorruptIndexError, ForkedIndexError, IndexClosedError
from pqstore.storage.attachments.field_column import FieldColumn
from pqstore.storage.attachments.field_records import read_field, read_tail_field
from pqstore.storage.disk.lmdb_errors import storage_errors, translate
from pqstore.storage.disk.numbered_state import check_number
from pqstore.storage.format import records
from pqstore.storage.format.catalog import Catalog
from pqstore.storage.format.decoding import decoding
from pqstore.storage.format.list_state import ListState
from pqstore.storage.format.segment_table import SegmentTable
from pqstore.storage.format.state import RunInfo, State
from pqstore.storage.idmap.runs import RunReader
from pqstore.storage.idmap.search import KeyIndex, UnsortedKeys
from pqstore.storage.rows import column_records
from pqstore.storage.rows.column_records import RowUnit, StoredChunk
from pqstore.storage.rows.id_columns import IdColumn
from pqstore.storage.rows.row_numbers import contiguous
from pqstore.storage.rows.schema import Schema
from pqstore.storage.transactions.cache import Committed
from pqstore.storage.transactions.generation import Generation
from pqstore.storage.transactions.state_records import Entry, StateRecords

__all__ = ["CommittedRecords", "tail_of"]


class CommittedRecords:
    """See `StateRecords`. Several threads may use it. Views of codes must not be used after `close`."""

    __slots__ = ("_lock", "cached", "closed", "generation", "schema", "state", "table", "txn")

    def __init__(self, schema: Schema, generation: Generation, txn: Any, number: int) -> None:
        """`number` of the commit whose state it is, as LMDB counts: of the one before, where `txn` writes."""
        self.schema = schema
        self.generation = generation
        self.txn = txn
        self.closed = False
        self._lock = threading.Lock()
        cached = generation.cache.committed
        if cached is None or cached.transaction != number:
            cached = self._read(number)
        self.cached = cached
        """The state, and what has been read of it."""
        self.state = cached.state
        self.table = cached.table

    def _read(self, number: int) -> Committed:
        cache, geometry = self.generation.cache, self.schema.geometry
        with cache.lock:
            state = State.unpack(self.get("meta", records.STATE_KEY))
            check_number(state, number, self.generation.environment.path)
            state.check(geometry.segment_rows, self.generation.limits.run_chunk_entries)
            known = cache.committed
            if known is not None and known.table.stamp == state.table_stamp:
                table = known.table
            else:
                table = SegmentTable.read(self._items("segments"), state, geometry.segment_rows)
            stored = geometry.total_rows(len(table), state)
            if state.live_rows != stored - table.total_dead - state.tail_dead:
                raise CorruptIndexError(
                    f"state: {state.live_rows} live rows, but {stored} are stored and not as many dead"
                )
            committed = Committed(number, state, table)
            cache.put(committed)
            return committed

    def check(self) -> None:
        """Raise `IndexClosedError` after the end of the transaction, `ForkedIndexError` in a forked child."""
        if self.closed:
            raise IndexClosedError("the snapshot is closed")
        if self.generation.pid != os.getpid():
            raise ForkedIndexError("a snapshot cannot be used in a forked child: open a new one there")

    def close(self) -> None:
        """End LMDB's transaction, unless another process began it."""
        self.closed = True
        if self.generation.pid == os.getpid():
            with self._lock:
                self.txn.abort()

    # By key

    def get(self, database: str, key: bytes) -> memoryview | None:
        try:
            with self._lock:
                value: memoryview | None = self.txn.get(key, db=self.generation.environment.databases[database])
        except lmdb.Error as error:
            raise translate(error, self.generation.index) from error
        return value

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """The arrays that make sense of the codes, copied."""
        with decoding(f"index at {self.generation.index}"):
            names = self.schema.identity.arrays
            return {name: records.unpack_array(self.get("quantizer", name.encode()), name) for name in names}

    def _items(self, database: str) -> list[Entry]:
        with self._lock, storage_errors(self.generation.index):
            return list(self.txn.cursor(db=self.generation.environment.databases[database]))

    def keys(self, database: str) -> list[bytes]:
        """The keys of a database."""
        with self._lock, storage_errors(self.generation.index):
            cursor = self.txn.cursor(db=self.generation.environment.databases[database])
            return [bytes(key) for key in cursor.iternext(keys=True, values=False)]

    def covering(self, database: str, key: bytes) -> Entry | None:
        with self._lock, storage_errors(self.generation.index):
            cursor = self.txn.cursor(db=self.generation.environment.databases[database])
            there = cursor.set_range(key)
            if not there or bytes(cursor.key()) != key:
                there = cursor.prev() if there else cursor.last()
            return cursor.item() if there else None

    def page(self, database: str, start: bytes, stop: bytes, most: int) -> list[Entry]:
        found: list[Entry] = []
        with self._lock, storage_errors(self.generation.index):
            self.check()
            cursor = self.txn.cursor(db=self.generation.environment.databases[database])
            there = cursor.set_range(start)
            while there and len(found) < most:
                item = cursor.item()
                if bytes(item[0]) >= stop:
                    break
                found.append(item)
                there = cursor.next()
        return found

    # By number

    @property
    def catalog(self) -> Catalog:
        known = self.cached.catalog
        if known is None:
            known = self.cached.catalog = Catalog.unpack(self.get("meta", records.CATALOG_KEY))
        return known

    @property
    def lists(self) -> ListState | None:
        known = self.cached.lists
        if known is None:
            value = self.get("meta", records.LISTS_KEY)
            lists = None if value is None else ListState.unpack(value)
            if lists is not None:
                lists.check(self.state, self.schema.geometry.segment_rows)
            known = self.cached.lists = (lists,)
            newest = self.generation.cache.committed
            if newest is not None and newest.transaction == self.cached.transaction:
                self.generation.cache.forget_lists(lists)
        return known[0]

    def codes(self, segment: int) -> U8:
        cache, schema = self.generation.cache, self.schema
        view = cache.codes.get(segment)
        if view is None:
            rows = schema.geometry.segment_rows
            view = cache.codes[segment] = column_records.read_codes(self.get, segment, schema.segment_bytes, rows)
        return view

    def ids(self, segment: int) -> IdColumn:
        cache, rows = self.generation.cache, self.schema.geometry.segment_rows
        column = cache.ids.get(segment)
        if column is None:
            column = column_records.read_ids(self.get, self.schema.codec, segment, rows)
            if rows >= 1024:
                cache.ids[segment] = column
                if self.schema.codec.keys_are_ids:
                    cache.plain_ids[segment] = column.plain()
        return column

    def bitmap(self, segment: int) -> U8 | None:
        if segment == self.state.open_segment:
            dead, stamp = self.state.tail_dead, self.state.tail_stamp
        else:
            dead, stamp = self.table.entries[segment]
        if dead == 0:
            return None
        cache = self.generation.cache
        known = cache.bitmaps.get(segment)
        if known is not None and known[0] == stamp:
            return known[1]
        bitmap = column_records.read_bitmap(self.get, segment, dead, self.schema.geometry.segment_rows)
        if known is None or known[0] < stamp:
            cache.bitmaps[segment] = (stamp, bitmap)
        return bitmap

    def tail_codes(self, chunk: int) -> U8:
        rows = self.schema.geometry.rows_in_chunk(chunk, self.state)
        full = rows == self.schema.geometry.chunk_rows
        views = self.generation.cache.tail_codes if full else self.cached.tail_codes
        view = views.get(chunk)
        if view is None:
            size = self.schema.packing.packed_size(rows)
            view = column_records.read_tail_codes(self.get, chunk, size, rows)
            if full and size < records.OWN_PAGES:
                views = self.cached.tail_codes  # it shares its page with others, which a later commit may move
            views[chunk] = view
        return view

    def tail_ids(self, chunk: int) -> IdColumn:
        rows = self.schema.geometry.rows_in_chunk(chunk, self.state)
        full = rows == self.schema.geometry.chunk_rows
        columns = self.generation.cache.tail_ids if full else self.cached.tail_ids
        column = columns.get(chunk)
        if column is None:
            column = column_records.read_tail_ids(self.get, self.schema.codec, chunk, rows)
            column = columns[chunk] = column.take(np.arange(rows))  # a copy: records of few ids share pages
        if self.schema.codec.keys_are_ids:
            self.cached.tail_plain_ids[chunk] = column.plain()
        return column

    def column(self, unit: RowUnit, number: int) -> FieldColumn:
        """The column of a declared field over a unit."""
        place, sealed = unit.place
        cache = self.generation.cache
        if sealed:
            column = cache.fields.get((place, number))
            if column is None:
                column = cache.fields[place, number] = read_field(self.get, place, number, unit.rows)
            return column
        key = (place, unit.rows, number)
        stored = cache.tail_fields.get(key)
        if stored is None:
            stored = read_tail_field(self.get, place, number, self.schema.geometry.chunk_rows)
            if stored is None or stored.rows != unit.rows:
                name = records.record_name(records.FIELD_TAIL, place, number)
                raise CorruptIndexError(f"{name}: {stored and stored.rows} rows, not {unit.rows}")
            cache.tail_fields[key] = stored
        return stored

    def run(self, info: RunInfo) -> RunReader:
        known = self.generation.cache.runs
        reader = known.get(info.run)
        if reader is None:
            chunk_entries = self.generation.limits.run_chunk_entries
            reader = known[info.run] = RunReader(info.run, info.entries, self.get, chunk_entries)
        return reader

    # Of all rows

    def chunks(self) -> tuple[StoredChunk, ...]:
        chunks = self.cached.chunks
        if chunks is None:
            chunks = self.cached.chunks = (*self._sealed_chunks(), *tail_of(self))
        return chunks

    def _sealed_chunks(self) -> Iterator[StoredChunk]:
        known, geometry = self.generation.cache.chunks, self.schema.geometry
        for segment, (_, stamp) in self.table.entries.items():
            entry = known.get(segment)
            if entry is None or entry[0] != stamp or not self.is_as_stored(segment):
                first_row = geometry.first_row(segment)
                chunk = StoredChunk(self.codes(segment), geometry.segment_rows, first_row, self.bitmap(segment))
                if (entry is None or entry[0] < stamp) and self.is_as_stored(segment):
                    known[segment] = (stamp, chunk)
                yield chunk
            else:
                yield entry[1]

    def is_as_stored(self, segment: int) -> bool:  # noqa: ARG002
        """Whether `bitmap` gives of a sealed segment what its tombstones say, and no more."""
        return True

    def plain_ids(self) -> tuple[Any, Any]:
        return self.generation.cache.plain_ids, self.cached.tail_plain_ids

    def tail_keys(self) -> Sequence[KeyIndex]:
        """Keys of the full chunks of the tail, extended as chunks fill, and of the last one."""
        geometry, chunks = self.schema.geometry, self.schema.geometry.tail_chunks(self.state)
        full, rest = divmod(self.state.tail_rows, geometry.chunk_rows)
        found: list[KeyIndex] = []
        if full:
            found.append(self._full_chunk_keys(chunks[:full]))
        if rest:
            last = self.cached.last_chunk_keys
            if last is None:
                rows = contiguous(geometry.first_row_of_chunk(chunks[full]), rest)
                last = self.cached.last_chunk_keys = UnsortedKeys(self.tail_ids(chunks[full]).keys(), rows)
            found.append(last)
        return found

    def _full_chunk_keys(self, chunks: range) -> KeyIndex:
        cache, geometry, segment = self.generation.cache, self.schema.geometry, self.state.open_segment
        known = cache.tail_keys
        if known is not None and known[:2] == (segment, len(chunks)):
            return known[2]
        extends = known is not None and known[0] == segment and known[1] < len(chunks)
        new = chunks[known[1] :] if known is not None and extends else chunks
        keys = np.concatenate([self.tail_ids(chunk).keys() for chunk in new])
        rows = contiguous(geometry.first_row_of_chunk(new[0]), len(keys))
        index = known[2].with_entries(keys, rows) if known is not None and extends else KeyIndex(keys, rows)
        if known is None or known[:2] < (segment, len(chunks)):
            cache.tail_keys = (segment, len(chunks), index)
        return index


def tail_of(state_records: StateRecords) -> Iterator[StoredChunk]:
    """Packed codes of the rows of the tail, chunk by chunk."""
    geometry, state = state_records.schema.geometry, state_records.state
    bitmap = state_records.bitmap(state.open_segment)
    for chunk in geometry.tail_chunks(state):
        _, position = geometry.place_of_chunk(chunk)
        dead = None if bitmap is None else bitmap[position // 8 : (position + geometry.chunk_rows) // 8]
        if dead is not None and not dead.any():
            dead = None
        rows, first_row = geometry.rows_in_chunk(chunk, state), geometry.first_row_of_chunk(chunk)
        yield StoredChunk(state_records.tail_codes(chunk), rows, first_row, dead)
