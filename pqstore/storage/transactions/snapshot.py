"""One consistent state of an index, read under one transaction."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from types import TracebackType
from typing import Any

import lmdb
import numpy as np
import numpy.typing as npt

from pqstore.arrays import I64, U8, U64
from pqstore.errors import CorruptIndexError, ForkedIndexError, IndexClosedError
from pqstore.native import native_loops
from pqstore.storage.disk.environment import Environment
from pqstore.storage.disk.lmdb_errors import storage_errors, translate
from pqstore.storage.disk.numbered_state import check_number
from pqstore.storage.format import records
from pqstore.storage.format.segment_table import SegmentTable
from pqstore.storage.format.state import Identity, RunInfo, State
from pqstore.storage.idmap.order import ascending
from pqstore.storage.idmap.ranges import find_in_ranges, find_one_in_ranges
from pqstore.storage.idmap.runs import RunReader
from pqstore.storage.idmap.search import Candidates, KeyIndex, UnsortedKeys, join
from pqstore.storage.rows import column_records
from pqstore.storage.rows.column_records import StoredChunk
from pqstore.storage.rows.id_columns import IdCodec, IdColumn, StringColumn
from pqstore.storage.rows.packing import RowPacking
from pqstore.storage.rows.row_numbers import by_segment, contiguous
from pqstore.storage.rows.tombstones import are_set, live_positions
from pqstore.storage.transactions.attachment_reads import AttachedReads
from pqstore.storage.transactions.cache import Committed
from pqstore.storage.transactions.open_index import Lease

__all__ = ["Shape", "Snapshot"]

_FEW = 8  # up to this many ids are looked up one by one


_FEW_ROWS = 256  # up to so many, looking at one after another is faster than sorting them by segment


class Shape:
    """How an index divides its rows, and how its codes and ids are laid out."""

    __slots__ = ("chunk_rows", "codec", "full_size", "identity", "packing", "segment_rows")

    def __init__(self, identity: Identity, packing: RowPacking) -> None:
        self.identity = identity
        self.packing = packing
        self.codec = IdCodec(identity.id_type, identity.hash_key)
        self.segment_rows = identity.segment_rows
        self.chunk_rows = identity.chunk_rows
        self.full_size = packing.packed_size(identity.segment_rows)


class Snapshot(AttachedReads):
    """Reads of one state. Several threads may use one snapshot. Nothing that a method returns points into the file,
    except the codes of `chunks()`, which must not be used after the snapshot is closed."""

    def __init__(
        self,
        shape: Shape,
        environment: Environment,
        txn: Any,
        lease: Lease,
        committed: Committed | None = None,
    ) -> None:
        self._shape = shape
        self._environment = environment
        self._cache = environment.cache
        self._txn = txn
        self._lease: Lease | None = lease
        self._lock = threading.Lock()
        self._pid = lease.pid
        self._committed = committed or self._read_committed()

    # -- life ----------------------------------------------------------------------------------------------------

    def __enter__(self) -> Snapshot:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def closed(self) -> bool:
        return self._lease is None

    def close(self) -> None:
        """End the transaction; views of `chunks()` die."""
        lease, self._lease = self._lease, None
        if lease is not None and self._pid == os.getpid():
            with self._lock:
                self._txn.abort()
            lease.end()

    def _check(self) -> None:
        if self._lease is None:
            raise IndexClosedError("the snapshot is closed")
        if self._pid != os.getpid():
            raise ForkedIndexError("a snapshot cannot be used in a forked child: open a new one there")

    # -- raw access ----------------------------------------------------------------------------------------------

    def _get(self, database: str, key: bytes) -> memoryview | None:
        try:
            with self._lock:
                value: memoryview | None = self._txn.get(key, db=self._environment.databases[database])
        except lmdb.Error as error:
            raise translate(error, self._environment.path.parent) from error
        return value

    def _items(self, database: str) -> list[tuple[memoryview, memoryview]]:
        with self._lock, storage_errors(self._environment.path.parent):
            return list(self._txn.cursor(db=self._environment.databases[database]))

    def get(self, database: str, key: bytes) -> memoryview | None:
        """A stored value (for this room)."""
        return self._get(database, key)

    def keys(self, database: str) -> list[bytes]:
        """The keys of a database (for this room)."""
        with self._lock, storage_errors(self._environment.path.parent):
            cursor = self._txn.cursor(db=self._environment.databases[database])
            return [bytes(key) for key in cursor.iternext(keys=True, values=False)]

    def bitmap(self, segment: int) -> U8 | None:
        """Tombstones of a sealed segment or of the tail; None when no row is dead (for this room)."""
        return self._bitmap(segment)

    def _read_committed(self) -> Committed:
        """The state under this transaction, from the cache when no commit has happened since."""
        number = self._transaction_number()
        known = self._cache.committed
        if known is not None and known.transaction == number:
            return known
        with self._cache.lock:
            state = State.unpack(self._get("meta", records.STATE_KEY))
            check_number(state, number, self._environment.path)
            known = self._cache.committed
            if known is not None and known.table.stamp == state.table_stamp:
                table = known.table
            else:
                table = SegmentTable.read(self._items("segments"), state.table_stamp, self._shape.segment_rows)
            stored = len(table) * self._shape.segment_rows + state.tail_rows
            if state.live_rows != stored - table.total_dead - state.tail_dead:
                raise CorruptIndexError(
                    f"state: {state.live_rows} live rows, but {stored} are stored and not as many dead"
                )
            committed = Committed(number, state, table)
            self._cache.put(committed)
            return committed

    def _transaction_number(self) -> int:
        return int(self._txn.id())

    # -- facts ---------------------------------------------------------------------------------------------------

    @property
    def state(self) -> State:
        """Counters, ranges and runs (for this room)."""
        return self._committed.state

    @property
    def table(self) -> SegmentTable:
        """The sealed segments (for this room)."""
        return self._committed.table

    @property
    def shape(self) -> Shape:
        """How rows are divided (for this room)."""
        return self._shape

    @property
    def environment(self) -> Environment:
        """The open data file (for this room)."""
        return self._environment

    @property
    def lmdb_transaction(self) -> Any:
        """LMDB's transaction (for this room)."""
        return self._txn

    @property
    def version(self) -> int:
        """The number of the commit that this snapshot shows; grows with every commit, through compactions too."""
        return self.state.commit

    @property
    def live_rows(self) -> int:
        """Rows that are stored and not dead."""
        return self.state.live_rows

    @property
    def total_rows(self) -> int:
        """Rows that are stored, dead ones too."""
        return len(self.table) * self._shape.segment_rows + self.state.tail_rows

    @property
    def next_id(self) -> int:
        """The next automatic int64 id: one more than any id ever given, at least 0."""
        return self.state.next_id

    # -- records by number; a write transaction lays its own changes over these -------------------------------------

    def _codes(self, segment: int) -> U8:
        view = self._cache.codes.get(segment)
        if view is None:
            view = column_records.read_codes(self._get, segment, self._shape.full_size, self._shape.segment_rows)
            self._cache.codes[segment] = view
        return view

    def _ids(self, segment: int) -> IdColumn:
        column = self._cache.ids.get(segment)
        if column is None:
            column = column_records.read_ids(self._get, self._shape.codec, segment, self._shape.segment_rows)
            if self._shape.segment_rows >= 1024:
                self._cache.ids[segment] = column
                if self._shape.codec.keys_are_ids:
                    self._cache.plain_ids[segment] = column.plain()
        return column

    def _bitmap(self, segment: int) -> U8 | None:
        """Tombstones of a sealed segment or of the tail; None when no row is dead."""
        if segment == self.state.open_segment:
            dead, stamp = self.state.tail_dead, self.state.tail_stamp
        else:
            dead, stamp = self.table.entries[segment]
        if dead == 0:
            return None
        known = self._cache.bitmaps.get(segment)
        if known is not None and known[0] == stamp:
            return known[1]
        bitmap = column_records.read_bitmap(self._get, segment, dead, self._shape.segment_rows)
        if known is None or known[0] < stamp:
            self._cache.bitmaps[segment] = (stamp, bitmap)
        return bitmap

    def _tail_span(self) -> range:
        """Numbers of the chunks of the tail. Chunks are numbered through all segments: first row / chunk_rows."""
        first = self.state.open_segment * self._shape.segment_rows // self._shape.chunk_rows
        return range(first, first + -(-self.state.tail_rows // self._shape.chunk_rows))

    def _chunk_rows(self, chunk: int) -> int:
        first = chunk * self._shape.chunk_rows - self.state.open_segment * self._shape.segment_rows
        return min(self._shape.chunk_rows, self.state.tail_rows - first)

    def _tail_codes(self, chunk: int) -> U8:
        rows = self._chunk_rows(chunk)
        full = rows == self._shape.chunk_rows
        store = self._cache.tail_codes if full else self._committed.tail_codes
        view = store.get(chunk)
        if view is None:
            size = self._shape.packing.packed_size(rows)
            view = column_records.read_tail_codes(self._get, chunk, size, rows)
            if full and size < 4096:
                store = self._committed.tail_codes  # it shares its page with others, which a later commit may move
            store[chunk] = view
        return view

    def _tail_ids(self, chunk: int) -> IdColumn:
        rows = self._chunk_rows(chunk)
        store = self._cache.tail_ids if rows == self._shape.chunk_rows else self._committed.tail_ids
        column = store.get(chunk)
        if column is None:
            column = column_records.read_tail_ids(self._get, self._shape.codec, chunk, rows)
            column = column.take(np.arange(rows))  # a copy: records of few ids share pages
            store[chunk] = column
        if self._shape.codec.keys_are_ids:
            self._committed.tail_plain_ids[chunk] = column.plain()
        return column

    def _run(self, info: RunInfo) -> RunReader:
        reader = self._cache.runs.get(info.run)
        if reader is None:
            reader = RunReader(info.run, info.entries, self._get)
            self._cache.runs[info.run] = reader
        return reader

    # -- codes ---------------------------------------------------------------------------------------------------

    def chunks(self) -> tuple[StoredChunk, ...]:
        """Packed codes of all stored rows in row order, zero-copy; for use before the snapshot is closed."""
        self._check()
        chunks = self._committed.chunks
        if chunks is None:
            chunks = tuple(self._sealed_chunks()) + tuple(self._open_chunks())
            self._committed.chunks = chunks
        return chunks

    def _sealed_chunks(self) -> Iterator[StoredChunk]:
        known = self._cache.chunks
        for segment, (_, stamp) in self.table.entries.items():
            entry = known.get(segment)
            if entry is None or entry[0] != stamp:
                first_row = segment * self._shape.segment_rows
                chunk = StoredChunk(self._codes(segment), self._shape.segment_rows, first_row, self._bitmap(segment))
                if entry is None or entry[0] < stamp:
                    known[segment] = (stamp, chunk)
                yield chunk
            else:
                yield entry[1]

    def _open_chunks(self) -> Iterator[StoredChunk]:
        size = self._shape.chunk_rows
        bitmap = self._bitmap(self.state.open_segment)
        start = self.state.open_segment * self._shape.segment_rows
        for chunk in self._tail_span():
            at = (chunk * size - start) // 8
            dead = None if bitmap is None else bitmap[at : at + size // 8]
            if dead is not None and not dead.any():
                dead = None
            yield StoredChunk(self._tail_codes(chunk), self._chunk_rows(chunk), chunk * size, dead)

    def codes_of(self, rows: npt.ArrayLike) -> npt.NDArray[Any]:
        """Stored labels (n, M) of rows that exist."""
        self._check()
        wanted = np.asarray(rows, dtype=np.int64)
        packing = self._shape.packing
        out: npt.NDArray[Any] | None = None
        for segment, where, positions in by_segment(wanted, self._shape.segment_rows):
            if segment != self.state.open_segment:
                pieces = [(where, packing.gather(self._codes(segment), positions))]
            else:
                index = np.arange(len(wanted))[where]
                base = segment * self._shape.segment_rows // self._shape.chunk_rows
                pieces = [
                    (index[inside], packing.gather(self._tail_codes(base + chunk), offsets))
                    for chunk, inside, offsets in by_segment(positions, self._shape.chunk_rows)
                ]
            for place, codes in pieces:
                if out is None:
                    out = np.empty((len(wanted), codes.shape[1]), dtype=codes.dtype)
                out[place] = codes
        return packing.unpack(np.empty(0, dtype=np.uint8), 0) if out is None else out

    # -- ids -----------------------------------------------------------------------------------------------------

    def ids_of(self, rows: npt.ArrayLike) -> npt.NDArray[Any]:
        """Ids of rows of any shape, which exist or are -1: int64, or objects of type str; -1, or None, for row -1."""
        self._check()
        wanted = np.ascontiguousarray(rows, dtype=np.int64)
        if self._shape.codec.keys_are_ids:
            ids = np.empty(wanted.shape, dtype=np.int64)
            if self._take_ids(wanted, ids):
                return ids
            ids.fill(-1)
        else:
            ids = np.empty(wanted.shape, dtype=object)
        self._read_ids(wanted.reshape(-1), ids.reshape(-1))
        return ids

    def _read_ids(self, rows: I64, ids: npt.NDArray[Any]) -> None:
        """Fill in the ids of rows that are not -1."""
        if len(rows) <= _FEW_ROWS:
            for place, row in enumerate(rows.tolist()):
                if row >= 0:
                    ids[place] = self._id_at(row)
            return
        known = np.flatnonzero(rows >= 0)
        for where, column, positions in self._id_columns(rows[known]):
            ids[known[where]] = column.take(positions).user()

    def _take_ids(self, rows: I64, ids: I64) -> bool:
        """Fill in int64 ids by compiled code, from columns that were read before. False: it could not."""
        native = native_loops()
        if native is None:
            return False
        shape = self._shape
        taken: bool = native.take_ids(
            self._cache.plain_ids,
            shape.segment_rows,
            self._committed.tail_plain_ids,
            shape.chunk_rows,
            self.state.open_segment,
            rows,
            ids,
        )
        return taken

    def _id_at(self, row: int) -> int | str:
        segment, position = divmod(row, self._shape.segment_rows)
        if segment != self.state.open_segment:
            return self._ids(segment).at(position)
        chunk, position = divmod(row, self._shape.chunk_rows)
        return self._tail_ids(chunk).at(position)

    def _id_columns(self, rows: I64) -> Iterator[tuple[Any, IdColumn, I64]]:
        """(where in `rows`, a column of ids, positions in it), together covering all rows."""
        for segment, where, positions in by_segment(rows, self._shape.segment_rows):
            if segment != self.state.open_segment:
                yield where, self._ids(segment), positions
                continue
            index = np.arange(len(rows))[where]
            base = segment * self._shape.segment_rows // self._shape.chunk_rows
            for chunk, inside, offsets in by_segment(positions, self._shape.chunk_rows):
                yield index[inside], self._tail_ids(base + chunk), offsets

    def iter_ids(self, block: int = 65_536) -> Iterator[npt.NDArray[Any]]:
        """Ids of all live rows in row order, at most `block` at a time."""
        for rows in self._iter_live_rows(block):
            yield self.ids_of(rows)

    def _iter_live_rows(self, block: int) -> Iterator[I64]:
        self._check()
        segments = [(segment, self._shape.segment_rows) for segment in self.table.entries]
        for segment, count in [*segments, (self.state.open_segment, self.state.tail_rows)]:
            live = live_positions(self._bitmap(segment), count) + segment * self._shape.segment_rows
            for start in range(0, len(live), block):
                yield live[start : start + block]

    # -- id -> row -----------------------------------------------------------------------------------------------

    def rows_of(self, ids: Any) -> I64:
        """Row of every id, int64 (n,); -1 where no live row has it."""
        self._check()
        column = self._shape.codec.column(ids)
        keys = column.keys()
        if len(column) <= _FEW:
            return np.array([self._row_of(column, at, key) for at, key in enumerate(keys.tolist())], dtype=np.int64)
        out = np.full(len(column), -1, dtype=np.int64)
        order = ascending(keys)
        found = self._find(keys[order])
        found = Candidates(order[found.queries], found.rows)
        if len(found.rows) == 0:
            return out
        keep = self.are_live(found.rows)
        found = Candidates(found.queries[keep], found.rows[keep])
        if self._shape.codec.keys_are_ids:
            out[found.queries] = found.rows
            return out
        assert isinstance(column, StringColumn)
        for where, stored, positions in self._id_columns(found.rows):
            queries, rows = found.queries[where], found.rows[where]
            same = column.matches(queries, stored, positions)
            out[queries[same]] = rows[same]
        return out

    def _row_of(self, column: IdColumn, at: int, key: int) -> int:
        """Row of one id of a column, -1 when no live row has it."""
        for row in self._find_one(key):
            if self._is_live(row):
                if isinstance(column, StringColumn):
                    _, stored, positions = next(self._id_columns(np.array([row])))
                    if not column.matches(np.array([at]), stored, positions)[0]:
                        continue
                return row
        return -1

    def _is_live(self, row: int) -> bool:
        segment, position = divmod(row, self._shape.segment_rows)
        if segment == self.state.open_segment:
            if position >= self.state.tail_rows:
                return False
        elif segment not in self.table.entries:
            return False
        bitmap = self._bitmap(segment)
        return bitmap is None or not bitmap[position >> 3] >> (position & 7) & 1

    def are_live(self, rows: I64) -> npt.NDArray[np.bool_]:
        """Which rows exist and are not dead."""
        segments = rows // self._shape.segment_rows
        in_tail = segments == self.state.open_segment
        live = self.table.contains(segments)
        live[in_tail] = (rows[in_tail] % self._shape.segment_rows) < self.state.tail_rows
        if self.table.total_dead == 0 and self.state.tail_dead == 0:
            return live
        candidates = np.flatnonzero(live)
        for segment, where, positions in by_segment(rows[candidates], self._shape.segment_rows):
            bitmap = self._bitmap(segment)
            if bitmap is not None:
                live[candidates[where]] = ~are_set(bitmap, positions)
        return live

    def _find_one(self, key: int) -> list[int]:
        """Candidate rows of one key."""
        state = self.state
        found: list[int] = []
        if state.ranges:
            found += find_one_in_ranges(state.ranges, key)
        for info in state.runs:
            found += self._run(info).find_one(key, self._get)
        for index in self._tail_keys():
            found += index.find_one(key)
        return found

    def _find(self, keys: U64) -> Candidates:
        """Candidates for ascending keys."""
        state = self.state
        found: list[Candidates] = []
        if state.ranges:
            found += find_in_ranges(state.ranges, (keys ^ np.uint64(1 << 63)).view(np.int64))
        for info in state.runs:
            found += self._run(info).find(keys, self._get)
        return join([*found, *(index.find(keys) for index in self._tail_keys())])

    def _tail_keys(self) -> list[KeyIndex]:
        """Keys of the rows of the tail: of its full chunks, extended as chunks fill, and of the last one."""
        state, size = self.state, self._shape.chunk_rows
        base = state.open_segment * self._shape.segment_rows // size
        full, rest = divmod(state.tail_rows, size)
        found: list[KeyIndex] = []
        if full:
            known = self._cache.tail_keys
            if known is None or known[:2] != (state.open_segment, full):
                extends = known is not None and known[0] == state.open_segment and known[1] < full
                start = known[1] if known is not None and extends else 0
                keys = np.concatenate([self._tail_ids(base + chunk).keys() for chunk in range(start, full)])
                rows = contiguous((base + start) * size, len(keys))
                index = known[2].with_entries(keys, rows) if known is not None and extends else KeyIndex(keys, rows)
                newer = known is None or known[:2] < (state.open_segment, full)
                known = (state.open_segment, full, index)
                if newer:
                    self._cache.tail_keys = known
            found.append(known[2])
        if rest:
            if self._committed.last_chunk_keys is None:
                keys = self._tail_ids(base + full).keys()
                self._committed.last_chunk_keys = UnsortedKeys(keys, contiguous((base + full) * size, rest))
            found.append(self._committed.last_chunk_keys)
        return found
