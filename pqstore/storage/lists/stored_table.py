"""A partition table as it is stored: what it means, the quantizer room knows."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np

from pqstore.arrays import F16, F32, I64
from pqstore.errors import CorruptIndexError
from pqstore.storage.format import records
from pqstore.storage.format.list_state import MAX_PARTITIONS
from pqstore.storage.format.records import Get, Put

__all__ = ["StoredTable", "read_table", "write_table"]

_HEAD: Final = struct.Struct("<IIi4x")  # D, groups, exponent
_RECORD_BYTES: Final = 1 << 20


class StoredTable(NamedTuple):
    """Arrays of `pqstore.quantizer.partitions.PartitionTable`."""

    stored: F16
    """float16 (P, D): centroids over ``2 ** exponent``."""
    exponent: int
    spreads: F32
    """float32 (P,)."""
    groups: F32
    """float32 (G, D)."""
    first: I64
    """int64 (G + 1): group g has the partitions ``first[g] .. first[g + 1] - 1``."""


def write_table(number: int, table: StoredTable, put: Put) -> None:
    """Store a table under a number."""
    P, D = table.stored.shape
    head = _HEAD.pack(D, len(table.groups), table.exponent)
    parts = [head, table.first.astype("<u4"), np.ascontiguousarray(table.groups, dtype="<f4")]
    put("runs", records.key1(number), records.pack_record(records.PARTITION_TABLE, number, 0, P, parts))
    for ordinal, (start, stop) in enumerate(_parts(P, D)):
        parts = [
            np.ascontiguousarray(table.stored[start:stop], dtype="<f2"),
            np.ascontiguousarray(table.spreads[start:stop], dtype="<f4"),
        ]
        record = records.pack_record(records.PARTITIONS, number, ordinal, stop - start, parts)
        put("runchunks", records.key2(number, ordinal), record)


def read_table(number: int, partitions: int, get: Get) -> StoredTable:
    """The table of this number, copied. Raises `CorruptIndexError`."""
    name = records.record_name(records.PARTITION_TABLE, number)
    D, exponent, first, groups = _read_groups(number, partitions, get)
    stored, spreads = np.empty((partitions, D), dtype=np.float16), np.empty(partitions, dtype=np.float32)
    for ordinal, (start, stop) in enumerate(_parts(partitions, D)):
        key = records.key2(number, ordinal)
        record = records.open_record(get("runchunks", key), records.PARTITIONS, number, ordinal)
        count = stop - start
        if record.entries != count or len(record.payload) != count * (2 * D + 4):
            raise CorruptIndexError(
                f"{records.record_name(records.PARTITIONS, number, ordinal)}: {len(record.payload)} bytes for "
                f"{record.entries} partitions, not {count}"
            )
        stored[start:stop] = np.frombuffer(record.payload, dtype="<f2", count=count * D).reshape(count, D)
        spreads[start:stop] = np.frombuffer(record.payload, dtype="<f4", offset=2 * count * D)
    if not (np.isfinite(stored).all() and np.isfinite(groups).all() and (spreads >= 0).all()):
        raise CorruptIndexError(f"{name}: it holds values that are no centroids")
    return StoredTable(stored, exponent, spreads, groups, first)


def _read_groups(number: int, partitions: int, get: Get) -> tuple[int, int, I64, F32]:
    """(D, exponent, first partitions, centroids of groups)."""
    name = records.record_name(records.PARTITION_TABLE, number)
    record = records.open_record(get("runs", records.key1(number)), records.PARTITION_TABLE, number)
    if record.entries != partitions or len(record.payload) < _HEAD.size:
        raise CorruptIndexError(f"{name}: it is of {record.entries} partitions, the list state says {partitions}")
    D, G, exponent = _HEAD.unpack_from(record.payload)
    if not (1 <= G <= min(partitions, MAX_PARTITIONS) and D >= 1 and -200 <= exponent <= 200):
        raise CorruptIndexError(f"{name}: {G} groups of {D} values, times 2^{exponent}, cannot be")
    if len(record.payload) != _HEAD.size + 4 * (G + 1) + 4 * G * D:
        raise CorruptIndexError(f"{name}: {len(record.payload)} bytes for {G} groups of {D} values")
    first = np.frombuffer(record.payload, dtype="<u4", count=G + 1, offset=_HEAD.size).astype(np.int64)
    groups = np.frombuffer(record.payload, dtype="<f4", offset=_HEAD.size + 4 * (G + 1)).reshape(G, D).copy()
    if first[0] != 0 or first[-1] != partitions or np.any(first[1:] < first[:-1]):
        raise CorruptIndexError(f"{name}: the partitions of its groups do not ascend to {partitions}")
    return D, exponent, first, groups


def _parts(partitions: int, D: int) -> list[tuple[int, int]]:
    return list(_cuts(partitions, max(1, _RECORD_BYTES // (2 * D + 4))))


def _cuts(count: int, step: int) -> Iterator[tuple[int, int]]:
    for start in range(0, count, step):
        yield start, min(start + step, count)
