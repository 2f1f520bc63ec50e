"""The columns that every segment and every chunk of the tail has, out of their records: codes, ids, tombstones."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pqstore.arrays import U8
from pqstore.errors import CorruptIndexError
from pqstore.storage.format import records
from pqstore.storage.format.records import Get
from pqstore.storage.rows.id_columns import IdCodec, IdColumn
from pqstore.storage.rows.tombstones import count_set

__all__ = ["RowUnit", "StoredChunk", "read_bitmap", "read_codes", "read_ids", "read_tail_codes", "read_tail_ids"]


class StoredChunk(NamedTuple):
    """Packed codes of rows `first_row .. first_row + rows - 1`, and the bitmap of the dead ones (None: none)."""

    packed: U8
    rows: int
    first_row: int
    dead: U8 | None


class RowUnit(NamedTuple):
    """Rows that lie together: those of a sealed segment, or of a chunk of the tail. In step with `chunks()`."""

    first_row: int
    rows: int
    dead: U8 | None
    place: tuple[int, bool]
    """Segment and True, or chunk and False."""


def read_codes(get: Get, segment: int, size: int, rows: int) -> U8:
    """Packed codes of a sealed segment, as a view."""
    record = records.open_record(get("codes", records.key1(segment)), records.CODES, segment)
    return _packed(record, size, rows, records.record_name(records.CODES, segment))


def read_tail_codes(get: Get, chunk: int, size: int, rows: int) -> U8:
    """Packed codes of a tail chunk, as a view."""
    key = records.key2(records.COLUMN_CODES, chunk)
    record = records.open_record(get("tail", key), records.TAIL_CODES, records.COLUMN_CODES, chunk)
    return _packed(record, size, rows, records.record_name(records.TAIL_CODES, records.COLUMN_CODES, chunk))


def _packed(record: records.Record, size: int, rows: int, name: str) -> U8:
    if record.entries != rows or len(record.payload) != size:
        raise CorruptIndexError(f"{name}: {len(record.payload)} bytes for {record.entries} rows, not {size} for {rows}")
    return np.frombuffer(record.payload, dtype=np.uint8)


def read_ids(get: Get, codec: IdCodec, segment: int, rows: int) -> IdColumn:
    """Ids of a sealed segment, as views."""
    name = records.record_name(records.ROWIDS, segment)
    record = records.open_record(get("rowids", records.key1(segment)), records.ROWIDS, segment)
    if record.entries != rows:
        raise CorruptIndexError(f"{name}: {record.entries} ids for {rows} rows")
    return codec.decode(record, name)


def read_tail_ids(get: Get, codec: IdCodec, chunk: int, rows: int) -> IdColumn:
    """Ids of a tail chunk, as views."""
    name = records.record_name(records.TAIL_IDS, records.COLUMN_IDS, chunk)
    key = records.key2(records.COLUMN_IDS, chunk)
    record = records.open_record(get("tail", key), records.TAIL_IDS, records.COLUMN_IDS, chunk)
    if record.entries != rows:
        raise CorruptIndexError(f"{name}: {record.entries} ids for {rows} rows")
    return codec.decode(record, name)


def read_bitmap(get: Get, segment: int, dead: int, segment_rows: int) -> U8:
    """Tombstones of a segment, copied."""
    record = records.open_record(get("tombstones", records.key1(segment)), records.TOMBSTONES, segment)
    bitmap: U8 = np.frombuffer(record.payload, dtype=np.uint8).copy()
    if len(bitmap) != segment_rows // 8 or record.entries != dead or count_set(bitmap) != dead:
        name = records.record_name(records.TOMBSTONES, segment)
        raise CorruptIndexError(f"{name}: {record.entries} dead rows in {len(bitmap)} bytes, not {dead}")
    return bitmap
