"""Reads of what hangs on rows: originals, payloads, columns of fields."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pqstore.arrays import I64, U8
from pqstore.errors import CorruptIndexError
from pqstore.storage.attachments.field_column import FieldColumn
from pqstore.storage.attachments.payload_records import PackedPayloads, PayloadRecord, open_payloads, unpack_payload
from pqstore.storage.attachments.saved_sets import read_set
from pqstore.storage.disk.environment import Environment
from pqstore.storage.disk.lmdb_errors import storage_errors
from pqstore.storage.format import records
from pqstore.storage.format.catalog import Catalog
from pqstore.storage.format.state import State
from pqstore.storage.rows.id_columns import IdType
from pqstore.storage.rows.tombstones import live_positions
from pqstore.storage.transactions.cache import Committed, ViewCache

if TYPE_CHECKING:
    from pqstore.storage.transactions.snapshot import Shape

__all__ = ["AttachedReads", "RowUnit"]

_RECORDS = 64  # of payloads, read at a time


class RowUnit(NamedTuple):
    """Rows that lie together: those of a sealed segment, or of a chunk of the tail. In step with `chunks()`."""

    first_row: int
    rows: int
    dead: U8 | None
    place: tuple[int, bool]
    """Segment and True, or chunk and False."""


class AttachedReads:
    """For `Snapshot`, which provides these."""

    _shape: Shape
    _environment: Environment
    _cache: ViewCache
    _committed: Committed
    _lock: threading.Lock
    _txn: Any

    if TYPE_CHECKING:

        @property
        def state(self) -> State: ...

        def _check(self) -> None: ...

        def get(self, database: str, key: bytes) -> memoryview | None: ...

        def chunks(self) -> Sequence[Any]: ...

    @property
    def id_type(self) -> IdType:
        """ "int64" or "str"."""
        return self._shape.identity.id_type

    @property
    def segment_rows(self) -> int:
        """Rows of a sealed segment."""
        return self._shape.segment_rows

    def live_rows_from(self, start: int, count: int) -> I64:
        """Up to `count` live rows from row `start` on, ascending."""
        found = [np.empty(0, dtype=np.int64)]
        for unit in self.units():
            if unit.first_row + unit.rows <= start or count <= 0:
                continue
            rows = live_positions(unit.dead, unit.rows) + unit.first_row
            found.append(rows[rows >= start][:count])
            count -= len(found[-1])
        return np.concatenate(found)

    # -- originals -----------------------------------------------------------------------------------------------

    def originals_of(self, rows: npt.ArrayLike) -> U8:
        """The originals of rows that exist, uint8 (n, row_bytes). Raises `CorruptIndexError` naming a damaged row."""
        self._check()
        wanted = np.asarray(rows, dtype=np.int64)
        identity = self._shape.identity
        return self._environment.originals.gather(wanted, identity.row_bytes, identity.segment_rows)

    def pin_originals(self) -> None:
        """Take hold of all files of originals, so that they can be read after others remove them."""
        if self._shape.identity.row_bytes == 0:
            return
        rows = self._shape.segment_rows
        counts = {unit.first_row // rows: unit.first_row % rows + unit.rows for unit in self.units()}
        self._environment.originals.pin(counts, self._shape.identity.row_bytes)

    # -- payloads --------------------------------------------------------------------------------------------------

    @property
    def catalog(self) -> Catalog:
        """Names, fields and notes."""
        known = self._committed.catalog
        if known is None:
            known = Catalog.unpack(self.get("meta", records.CATALOG_KEY))
            self._committed.catalog = known
        return known

    @property
    def memo(self) -> dict[Any, Any]:
        """What the index room has worked out of this committed state; shared by all snapshots of it."""
        return self._committed.memo

    def payloads_of(self, rows: npt.ArrayLike) -> list[dict[str, Any] | None]:
        """The payloads of rows that exist; None for a row without one."""
        self._check()
        names = self.catalog.names
        wanted = np.asarray(rows, dtype=np.int64).tolist()
        found: list[dict[str, Any] | None] = [None] * len(wanted)
        for place, row, content in self._payload_contents(wanted):
            found[place] = unpack_payload(content, row, names)
        return found

    def packed_payloads_of(self, rows: I64) -> PackedPayloads:
        """The payloads of rows as they are stored."""
        parts: list[bytes | memoryview] = [b""] * len(rows)
        for place, _, content in self._payload_contents(rows.tolist()):
            parts[place] = content
        return PackedPayloads.of(parts)

    def payload_items(
        self, start: int, stop: int, names: Sequence[str] | None = None
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        """(row, payload) of all rows from `start` up to `stop` that have one, dead or alive."""
        names = tuple(self.catalog.names if names is None else names)
        first = self.catalog.payloads_from
        if first is None:
            return
        expected = max(start, first)
        for first_row, value in self.payload_values(expected, stop):
            record = open_payloads(value, first_row)
            if first_row > expected:
                break
            for row, content in record.contents(start, stop):
                yield row, unpack_payload(content, row, names)
            expected = record.stop
        if expected < stop:
            raise CorruptIndexError(f"payloads of row {expected}: the record is missing")

    def payload_values(self, start: int, stop: int) -> Iterator[tuple[int, memoryview]]:
        """(first row, record) of the records that may have payloads of rows from `start` up to `stop`."""
        at, covering = start, True
        while at < stop:
            page: list[tuple[int, memoryview]] = []
            with self._lock, storage_errors(self._environment.path.parent):
                self._check()
                cursor = self._txn.cursor(db=self._environment.databases["payloads"])
                # The record that the first row lies in may begin before it.
                there = (covering and _seek_last(cursor, at)) or cursor.set_range(records.key1(at))
                while there and len(page) < _RECORDS:
                    first_row = int.from_bytes(cursor.key(), "big")
                    if first_row >= stop:
                        break
                    page.append((first_row, cursor.value()))
                    there = cursor.next()
            yield from page
            if len(page) < _RECORDS:
                return
            at, covering = page[-1][0] + 1, False

    def payload_record(self, row: int) -> PayloadRecord:
        """The record that a row lies in, which is not before the first with payloads.

        Raises:
            CorruptIndexError: it is damaged, or there is none.
        """
        with self._lock, storage_errors(self._environment.path.parent):
            cursor = self._txn.cursor(db=self._environment.databases["payloads"])
            there = _seek_last(cursor, row)
            first_row, value = (int.from_bytes(cursor.key(), "big"), cursor.value()) if there else (row, None)
        record = open_payloads(value, first_row)
        if row >= record.stop:
            raise CorruptIndexError(f"payloads of row {row}: the record is missing")
        return record

    def _payload_contents(self, rows: list[int]) -> Iterator[tuple[int, int, memoryview]]:
        """(place in `rows`, row, msgpack bytes) of those that have a payload; each record is read once."""
        first = self.catalog.payloads_from
        record: PayloadRecord | None = None
        for place in sorted(range(len(rows)), key=rows.__getitem__):
            row = rows[place]
            if first is None or row < first:
                continue
            if record is None or row >= record.stop:
                record = self.payload_record(row)
            content = record.of(row)
            if len(content):
                yield place, row, content

    # -- saved sets ------------------------------------------------------------------------------------------------

    def saved_set(self, name: str) -> npt.NDArray[Any] | None:
        """The ids of a saved set, ascending; None when there is no set of this name."""
        self._check()
        saved = self.catalog.sets.get(name)
        return None if saved is None else read_set(self.get, self._shape.codec, saved)

    # -- columns of fields -----------------------------------------------------------------------------------------

    def units(self) -> list[RowUnit]:
        """All rows that are stored, in the pieces that columns cover; one for each of `chunks()`."""
        rows, size = self._shape.segment_rows, self._shape.chunk_rows
        first_open = self.state.open_segment * rows
        return [
            RowUnit(
                chunk.first_row,
                chunk.rows,
                chunk.dead,
                (chunk.first_row // rows, True) if chunk.first_row < first_open else (chunk.first_row // size, False),
            )
            for chunk in self.chunks()
        ]

    def column(self, unit: RowUnit, number: int) -> FieldColumn:
        """The column of a declared field over a unit of a committed state."""
        place, sealed = unit.place
        if sealed:
            column = self._cache.fields.get((place, number))
            if column is None:
                column = self._cache.fields[place, number] = self.read_column(place, number)
            return column
        key = (place, unit.rows, number)
        column = self._cache.tail_fields.get(key)
        if column is None:
            column = self.stored_tail_column(place, number)
            if column is None or column.rows != unit.rows:
                name = records.record_name(records.FIELD_TAIL, place, number)
                raise CorruptIndexError(f"{name}: {column and column.rows} rows, not {unit.rows}")
            self._cache.tail_fields[key] = column
        return column

    def read_column(self, segment: int, number: int) -> FieldColumn:
        """The column of a sealed segment, checked."""
        value = self.get("fields", records.key2(segment, number))
        record = records.open_record(value, records.FIELD, segment, number)
        name = records.record_name(records.FIELD, segment, number)
        if record.entries != self._shape.segment_rows:
            raise CorruptIndexError(f"{name}: of {record.entries} rows, not {self._shape.segment_rows}")
        # Small values share pages with others and may be moved by a commit; large ones stay where they are.
        content = record.payload if len(record.payload) >= records.OWN_PAGES else memoryview(bytes(record.payload))
        return FieldColumn(content, record.entries, name)

    def stored_tail_column(self, chunk: int, number: int) -> FieldColumn | None:
        """The column of a tail chunk, checked and copied; None when there is none."""
        value = self.get("tailfields", records.key2(chunk, number))
        if value is None:
            return None
        record = records.open_record(value, records.FIELD_TAIL, chunk, number)
        name = records.record_name(records.FIELD_TAIL, chunk, number)
        if record.entries > self._shape.chunk_rows:
            raise CorruptIndexError(f"{name}: of {record.entries} rows, {self._shape.chunk_rows} at most")
        return FieldColumn(memoryview(bytes(record.payload)), record.entries, name)


def _seek_last(cursor: Any, row: int) -> bool:
    """Put a cursor on the last key at most `row`; False when there is none."""
    if not cursor.set_range(records.key1(row)):
        return bool(cursor.last())
    return bytes(cursor.key()) == records.key1(row) or bool(cursor.prev())
