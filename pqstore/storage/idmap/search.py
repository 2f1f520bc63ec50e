"""Search of sorted keys among sorted keys, where several entries may share a key."""

from __future__ import annotations

from bisect import bisect_left
from typing import NamedTuple

import numpy as np

from pqstore.arrays import I64, U64
from pqstore.storage.idmap.order import ascending

__all__ = ["Candidates", "KeyIndex", "UnsortedKeys", "join", "none_found", "search"]


class Candidates(NamedTuple):
    """Rows that may hold the ids asked for: `rows[i]` for the query number `queries[i]`.

    A candidate counts only when its row is live; entries are left behind when rows die.
    """

    queries: I64
    rows: I64


def none_found() -> Candidates:
    return Candidates(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64))


def join(found: list[Candidates]) -> Candidates:
    """All candidates of several sources."""
    found = [candidates for candidates in found if len(candidates.rows)]
    if not found:
        return none_found()
    if len(found) == 1:
        return found[0]
    return Candidates(np.concatenate([c.queries for c in found]), np.concatenate([c.rows for c in found]))


def search(keys: U64, rows: I64, queries: U64, first_query: int = 0) -> Candidates:
    """Every entry of (`keys` ascending, `rows`) whose key is one of `queries` (ascending too, for speed)."""
    if len(keys) == 0 or len(queries) == 0:
        return none_found()
    left = np.searchsorted(keys, queries)
    hit = np.flatnonzero(keys[np.minimum(left, len(keys) - 1)] == queries)
    if len(hit) == 0:
        return none_found()
    left = left[hit]
    # Nearly always one entry a key; look for more only where the next one is equal.
    following = left + 1
    if not np.any(
        keys[np.minimum(following, len(keys) - 1)][following < len(keys)] == queries[hit][following < len(keys)]
    ):
        return Candidates(hit + first_query, rows[left].astype(np.int64))
    lengths = np.searchsorted(keys, queries[hit], side="right") - left
    starts = np.repeat(left - np.concatenate(([0], np.cumsum(lengths)[:-1])), lengths)
    entries = starts + np.arange(int(lengths.sum()))
    return Candidates(np.repeat(hit, lengths) + first_query, rows[entries].astype(np.int64))


class KeyIndex:
    """Immutable sorted keys and their rows, in memory."""

    __slots__ = ("keys", "rows")

    def __init__(self, keys: U64, rows: I64, *, presorted: bool = False) -> None:
        """Takes keys in any order. `presorted` ones come in a few ascending stretches, which merge in linear time."""
        order = np.argsort(keys, kind="stable") if presorted else ascending(keys)
        self.keys = keys[order]
        self.rows = rows[order]

    def __len__(self) -> int:
        return len(self.keys)

    def with_entries(self, keys: U64, rows: I64) -> KeyIndex:
        """With more entries, whose keys ascend for speed."""
        return KeyIndex(np.concatenate((self.keys, keys)), np.concatenate((self.rows, rows)), presorted=True)

    def find(self, queries: U64) -> Candidates:
        return search(self.keys, self.rows, queries)

    def find_one(self, key: int) -> list[int]:
        at = bisect_left(self.keys.data, key)
        found = []
        while at < len(self.keys) and self.keys[at] == key:
            found.append(int(self.rows[at]))
            at += 1
        return found


class UnsortedKeys(KeyIndex):
    """A few keys in row order: comparing all of them with one is quicker than sorting them for it."""

    __slots__ = ()

    def __init__(self, keys: U64, rows: I64) -> None:
        self.keys = keys
        self.rows = rows

    def find(self, queries: U64) -> Candidates:
        return KeyIndex(self.keys, self.rows).find(queries)

    def find_one(self, key: int) -> list[int]:
        return [int(row) for row in self.rows[self.keys == np.uint64(key)]]
