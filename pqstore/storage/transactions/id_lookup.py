"""From ids to rows: candidates out of ranges, runs and the keys of the tail, of which the live ones count."""

from __future__ import annotations

from typing import Any

import numpy as np

from pqstore.arrays import I64, U64
from pqstore.errors import CorruptIndexError
from pqstore.storage.idmap.order import ascending
from pqstore.storage.idmap.ranges import find_in_ranges, find_one_in_ranges
from pqstore.storage.idmap.search import Candidates, join
from pqstore.storage.rows.id_columns import IdColumn, StringColumn
from pqstore.storage.transactions.row_reads import are_live, id_columns, is_live
from pqstore.storage.transactions.state_records import StateRecords

__all__ = ["IdLookup"]

_SIGN = 1 << 63
_SINGLY_UP_TO = 8  # so many ids are looked up one after another


class IdLookup:
    """Lookup in one state."""

    __slots__ = ("_codec", "_records")

    def __init__(self, records: StateRecords) -> None:
        self._records = records
        self._codec = records.schema.codec

    def rows_of(self, ids: Any) -> I64:
        """Row of every id, int64 (n,); -1 where no live row has it."""
        self._records.check()
        column = self._codec.column(ids)
        keys = column.keys()
        if len(column) <= _SINGLY_UP_TO:
            return np.array([self._row_of(column, at, key) for at, key in enumerate(keys.tolist())], dtype=np.int64)
        out = np.full(len(column), -1, dtype=np.int64)
        order = ascending(keys)
        queries, rows = self._find(keys[order])
        if len(rows) == 0:
            return out
        keep = are_live(self._records, rows)
        queries, rows = order[queries[keep]], rows[keep]
        if self._codec.keys_are_ids:
            out[queries] = rows
            return out
        assert isinstance(column, StringColumn)
        for where, stored, positions in id_columns(self._records, rows):
            same = column.matches(queries[where], stored, positions)
            out[queries[where][same]] = rows[where][same]
        return out

    def check_next_id(self) -> None:
        """Raise `CorruptIndexError` where an automatic id would be one that the index has, or had: the counter lies.

        Looked at once in the life of an open data file; from then on every writer keeps the counter right.
        """
        cache, state = self._records.generation.cache, self._records.state
        if cache.next_id_is_right:
            return
        geometry, run = self._records.schema.geometry, self._records.run
        highest = [run(info).last_key - _SIGN for info in state.runs]
        highest += [self._records.tail_ids(chunk).highest() for chunk in geometry.tail_chunks(state)]
        if max(highest, default=-1) >= state.next_id:  # ranges were compared with it when the state was read
            raise CorruptIndexError(f"state: the next automatic id is {state.next_id}, but id {max(highest)} is given")
        cache.next_id_is_right = True

    def _row_of(self, column: IdColumn, at: int, key: int) -> int:
        """Row of one id of a column, -1 when no live row has it."""
        for row in self._find_one(key):
            if is_live(self._records, row):
                if isinstance(column, StringColumn):
                    _, stored, positions = next(id_columns(self._records, np.array([row])))
                    if not column.matches(np.array([at]), stored, positions)[0]:
                        continue
                return row
        return -1

    def _find_one(self, key: int) -> list[int]:
        """Candidate rows of one key."""
        records, state = self._records, self._records.state
        found: list[int] = []
        if state.ranges:
            found += find_one_in_ranges(state.ranges, key)
        for info in state.runs:
            found += records.run(info).find_one(key, records.get)
        for index in records.tail_keys():
            found += index.find_one(key)
        return found

    def _find(self, keys: U64) -> Candidates:
        """Candidates for ascending keys."""
        records, state = self._records, self._records.state
        found: list[Candidates] = []
        if state.ranges:
            found += find_in_ranges(state.ranges, (keys ^ np.uint64(1 << 63)).view(np.int64))
        for info in state.runs:
            found += records.run(info).find(keys, records.get)
        return join([*found, *(index.find(keys) for index in records.tail_keys())])
