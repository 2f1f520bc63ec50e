"""Rows in the order of their ids, from an id on: an order that no rewriting, merging or compaction changes.

int64 ids ascend. str ids come in the order of their keys, which are hashes: as good as any, and the index has it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from pqstore.arrays import I64, U64
from pqstore.storage.format.state import Range
from pqstore.storage.idmap.runs import RunReader
from pqstore.storage.idmap.search import KeyIndex
from pqstore.storage.rows.row_numbers import contiguous
from pqstore.storage.transactions.row_reads import RowReads, are_live
from pqstore.storage.transactions.state_records import StateRecords

__all__ = ["rows_by_id"]

_WINDOW = 1024  # entries read of each source at a time, at least
_FEW = 65_536  # so many rows are sorted rather than looked for in the id map
_SIGN = 1 << 63


class _Source(NamedTuple):
    """Entries of the id map in the order of their keys, and the first of them that is not read yet."""

    read: Callable[[int, int], tuple[U64, I64]]
    """(position, count) -> keys and rows"""
    length: int
    at: int


def rows_by_id(records: StateRecords, after: Any, count: int, among: I64 | None = None) -> I64:
    """The first `count` live rows whose ids come after this id (None: from the start), int64, in the order of ids.

    `among`: only these rows, which are live and ascend.
    """
    records.check()
    if among is not None and len(among) <= _FEW:
        return _in_order(records, _keys_of(records, among), among, after)[:count]
    first_key = 0 if after is None else int(records.schema.codec.column([after]).keys()[0])
    found = np.empty(0, dtype=np.int64)
    for keys, rows in _entries_from(records, first_key, max(_WINDOW, count)):
        kept = are_live(records, rows) if among is None else _are_among(rows, among)
        found = np.concatenate((found, _in_order(records, keys[kept], rows[kept], after)))
        if len(found) >= count:
            break
    return found[:count]


def _keys_of(records: StateRecords, rows: I64) -> U64:
    keys: U64 = records.schema.codec.column(RowReads(records).ids_of(rows)).keys()
    return keys


def _are_among(rows: I64, among: I64) -> Any:
    """Which rows are, bool (n,)."""
    return among[np.minimum(np.searchsorted(among, rows), len(among) - 1)] == rows


def _in_order(records: StateRecords, keys: U64, rows: I64, after: Any) -> I64:
    """Rows in the order of their ids, without those up to the id `after`."""
    order = np.argsort(keys, kind="stable")
    keys, rows = keys[order], rows[order]
    if records.schema.codec.keys_are_ids:
        return rows if after is None else rows[keys > records.schema.codec.column([after]).keys()[0]]
    if after is None and len(np.unique(keys)) == len(keys):
        return rows
    # Different ids may have one hash: they come in their own order.
    ids = RowReads(records).ids_of(rows).tolist()
    pairs = list(zip(keys.tolist(), ids, strict=True))
    start = (-1, "") if after is None else (int(records.schema.codec.column([after]).keys()[0]), after)
    chosen = sorted((place for place, pair in enumerate(pairs) if pair > start), key=pairs.__getitem__)
    return rows[np.array(chosen, dtype=np.int64)]


def _entries_from(records: StateRecords, key: int, window: int) -> Iterator[tuple[U64, I64]]:
    """(keys, rows) of all entries from a key on, piece by piece; all entries of a key are in one piece."""
    sources = [source for source in _sources(records, key) if source.at < source.length]
    while sources:
        pieces = [source.read(source.at, window) for source in sources]
        unread = [
            piece[0][-1] for piece, source in zip(pieces, sources, strict=True) if source.at + window < source.length
        ]
        # From the lowest of the windows' ends on there may be more in a source that is not read so far.
        sizes = [int(np.searchsorted(keys, min(unread))) if unread else len(keys) for keys, _ in pieces]
        if not any(sizes):
            window *= 2
            continue
        yield (
            np.concatenate([keys[:size] for (keys, _), size in zip(pieces, sizes, strict=True)]),
            np.concatenate([rows[:size] for (_, rows), size in zip(pieces, sizes, strict=True)]),
        )
        sources = [
            source._replace(at=source.at + size)
            for source, size in zip(sources, sizes, strict=True)
            if source.at + size < source.length
        ]


def _sources(records: StateRecords, key: int) -> list[_Source]:
    """Ranges, runs and the keys of the tail, each from the first entry on whose key is not below this one."""
    runs = [records.run(info) for info in records.state.runs]
    return [
        *(_range_source(entry, key) for entry in records.state.ranges),
        *(_run_source(reader, records, key) for reader in runs),
        *_tail_sources(records.tail_keys(), key),
    ]


def _range_source(entry: Range, key: int) -> _Source:
    def read(at: int, count: int) -> tuple[U64, I64]:
        count = min(count, entry.count - at)
        ids = contiguous(entry.first_id + at, count)
        return ids.view(np.uint64) ^ np.uint64(_SIGN), contiguous(entry.first_row + at, count)

    return _Source(read, entry.count, min(max(0, key - _SIGN - entry.first_id), entry.count))


def _run_source(reader: RunReader, records: StateRecords, key: int) -> _Source:
    return _Source(
        lambda at, count: reader.entries_from(at, count, records.get),
        reader.entries,
        reader.position_of(key, records.get),
    )


def _tail_sources(indexes: Sequence[KeyIndex], key: int) -> list[_Source]:
    # Sorted here: those of the last chunk are not.
    return [_key_source(KeyIndex(index.keys, index.rows), key) for index in indexes]


def _key_source(index: KeyIndex, key: int) -> _Source:
    return _Source(
        lambda at, count: (index.keys[at : at + count], index.rows[at : at + count]),
        len(index),
        int(np.searchsorted(index.keys, np.uint64(key))),
    )
