"""Hits that differ: so many of each group, or the nearest weighed against their likeness to one another."""

from __future__ import annotations

import numbers
from itertools import count
from typing import Any, NamedTuple, Protocol

import numpy as np

from pqstore.arrays import F32, I64
from pqstore.index.arguments.counts import as_count
from pqstore.index.reading import Reading
from pqstore.index.search.diversity import diverse
from pqstore.index.search.groups import Groups, Members, groups_by
from pqstore.index.search.question import Question
from pqstore.index.selection.selection import Selection
from pqstore.index.settings import as_field

__all__ = ["Diverse", "Grouped", "as_variety"]

_CANDIDATES = 50
_GROWTH = 4


class Ranked(Protocol):
    """How rows are ranked, for those who need more than the nearest."""

    @property
    def selection(self) -> Selection | None:
        """The rows that are ranked; None: all."""

    @property
    def whole(self) -> bool:
        """Whether all of them are, in the order of the answer: a deeper ranking begins with a shallow one."""

    def nearest(self, query: F32, count: int, within: Selection | None) -> tuple[F32, I64]:
        """The so many nearest rows of one query (1, D): distances float32 (count,) and rows, padded. With a selection:
        of its rows alone."""


class Grouped(NamedTuple):
    """The rows of the nearest groups: at most so many of each, in order."""

    field: str
    groups: int
    per_group: int

    @property
    def depth(self) -> int:
        """How many rows are ranked at first, and places that an answer has."""
        return self.groups * self.per_group

    def choose(self, reading: Reading, queries: F32, distances: F32, rows: I64, ranked: Ranked) -> tuple[F32, I64]:
        """Out of the nearest rows (n, depth), and of as many more as it takes."""
        groups = groups_by(reading, self.field, ranked.selection)
        chosen = [self._of_one(groups, queries[q : q + 1], distances[q], rows[q], ranked) for q in range(len(queries))]
        padding = -np.inf if reading.space.larger_is_nearer else np.inf
        near = np.full((len(queries), self.depth), padding, dtype=np.float32)
        best = np.full((len(queries), self.depth), -1, dtype=np.int64)
        for q, (some, mine) in enumerate(chosen):
            near[q, : len(mine)], best[q, : len(mine)] = some, mine
        return near, best

    def _of_one(self, groups: Groups, query: F32, distances: F32, rows: I64, ranked: Ranked) -> tuple[F32, I64]:
        for turn in count():
            found = groups.of(rows)
            places, complete = self._places(found)
            if complete or len(rows) >= groups.rows or rows[-1] < 0:
                return distances[places], rows[places]
            deeper = _GROWTH * len(rows) + 64
            nearest = list(dict.fromkeys(key for key in found if key is not None))[: self.groups]
            known = len(nearest) == self.groups and (turn > 0 or ranked.whole)
            if known and groups.are_sought_apart(deeper, turn):
                return self._of_known(groups.members(nearest), query, ranked)
            distances, rows = ranked.nearest(query, min(deeper, groups.rows), None)
        raise AssertionError

    def _of_known(self, members: Members, query: F32, ranked: Ranked) -> tuple[F32, I64]:
        """Which groups they are is known: what is missing of them lies among their own rows."""
        depth = self.depth
        while True:
            depth = min(_GROWTH * depth + 64, max(1, members.selection.count))
            distances, rows = ranked.nearest(query, depth, members.selection)
            places, complete = self._places(members.groups_of(rows))
            if complete or depth >= members.selection.count or rows[-1] < 0:
                return distances[places], rows[places]

    def _places(self, keys: list[Any]) -> tuple[list[int], bool]:
        """Places of the rows that are taken, and whether no row beyond can be."""
        counts: dict[Any, int] = {}
        places = []
        for place, key in enumerate(keys):
            if key is None or (key not in counts and len(counts) == self.groups):
                continue
            counts[key] = counts.get(key, 0) + 1
            if counts[key] <= self.per_group:
                places.append(place)
        full = sum(min(count, self.per_group) for count in counts.values()) == self.depth
        return places, full


class Diverse(NamedTuple):
    """k of the nearest, each weighed against its likeness to those before it."""

    k: int
    weight: float
    depth: int
    """Candidates."""

    def choose(self, reading: Reading, queries: F32, distances: F32, rows: I64, _: Ranked) -> tuple[F32, I64]:
        """Out of the nearest rows (n, depth)."""
        near, best = distances[:, : self.k].copy(), rows[:, : self.k].copy()
        for q, query in enumerate(queries):
            there = rows[q][rows[q] >= 0]
            if len(there):
                places = diverse(query, reading.vectors_of(there), self.k, self.weight)
                near[q, : len(places)], best[q, : len(places)] = distances[q][places], there[places]
        return near, best


def as_variety(question: Question, k: int) -> Grouped | Diverse | None:
    """What the arguments `group_by`, `per_group`, `mmr` and `candidates` ask for; None: the nearest.

    Raises:
        TypeError, ValueError: they cannot be meant.
    """
    if question.group_by is not None:
        if question.mmr is not None:
            raise ValueError("group_by and mmr are two ways to hits that differ: choose one of them")
        field = as_field(question.group_by)
        return Grouped(field, k, as_count(question.per_group, "per_group"))
    if question.per_group != 1:
        raise ValueError("per_group says how many hits of each group there are to be: give group_by, their field")
    if question.mmr is None:
        if question.candidates is not None:
            raise ValueError("candidates says what mmr chooses from: give mmr, a weight in 0 .. 1")
        return None
    weight = question.mmr
    if isinstance(weight, bool) or not isinstance(weight, numbers.Real):
        raise TypeError(f"mmr must be a number in 0 .. 1, got {weight!r}")
    if not 0 <= float(weight) <= 1:
        raise ValueError(f"mmr must be in 0 .. 1, got {weight!r}")
    pool = max(_CANDIDATES, k) if question.candidates is None else as_count(question.candidates, "candidates")
    if pool < k:
        raise ValueError(f"candidates must be at least k = {k}, got {pool}: the k hits are chosen from them")
    return Diverse(k, float(weight), pool)
