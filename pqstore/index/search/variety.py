"""Hits that differ: so many of each group, or the nearest weighed against their likeness to one another."""

from __future__ import annotations

import numbers
from collections.abc import Callable
from itertools import count
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from pqstore.arrays import F32, I64
from pqstore.index.arguments.counts import as_count
from pqstore.index.reading import Reading
from pqstore.index.search.diversity import diverse
from pqstore.index.search.question import Question
from pqstore.index.settings import as_field
from pqstore.index.unreadable import UnreadablePayloads
from pqstore.storage import ABSENT, kind_of, value_at

__all__ = ["Diverse", "Grouped", "as_variety"]

Ranked: TypeAlias = "Callable[[F32, int, list[Any] | None], tuple[F32, I64]]"
"""One query (1, D) and a depth -> its so many nearest rows: distances float32 (1, depth) and rows, padded. With values
of the field: of the rows that have one of these."""

_CANDIDATES = 50
_GROWTH = 4


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
        chosen = [self._of_one(reading, queries[q : q + 1], distances[q], rows[q], ranked) for q in range(len(queries))]
        padding = -np.inf if reading.space.larger_is_nearer else np.inf
        near = np.full((len(queries), self.depth), padding, dtype=np.float32)
        best = np.full((len(queries), self.depth), -1, dtype=np.int64)
        for q, (some, mine) in enumerate(chosen):
            near[q, : len(mine)], best[q, : len(mine)] = some, mine
        return near, best

    def _of_one(self, reading: Reading, query: F32, distances: F32, rows: I64, ranked: Ranked) -> tuple[F32, I64]:
        keys, most, within = _Keys(reading, self.field), reading.snapshot.live_rows, None
        for turn in count():
            found = keys.of(rows)
            places, complete = self._places(found)
            depth = len(rows)
            if complete or depth >= most or rows[-1] < 0:
                break
            groups = dict.fromkeys(key for key in found if key is not None)
            if within is None and turn and len(groups) >= self.groups:
                # Which groups they are is known: what is missing of them lies among their own rows.
                within, depth = [value for _, value in list(groups)[: self.groups]], self.depth
            more_distances, more_rows = ranked(query, min(_GROWTH * depth + 64, most), within)
            distances, rows = more_distances[0], more_rows[0]
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


class _Keys:
    """Groups of rows, out of their payloads, each of which is read once."""

    def __init__(self, reading: Reading, field: str) -> None:
        self._reading, self._field = reading, field
        self._known: dict[int, Any] = {-1: None}

    def of(self, rows: I64) -> list[Any]:
        """(kind, value) of each row; None for one whose value cannot make a group."""
        new = np.array([row for row in rows.tolist() if row not in self._known], dtype=np.int64)
        unreadable = UnreadablePayloads(self._reading.snapshot.ids_of)
        for row, payload in zip(new.tolist(), self._reading.snapshot.payloads_of(new, unreadable), strict=True):
            value = ABSENT if payload is None else value_at(payload, self._field)
            kind = None if value is ABSENT else kind_of(value)
            self._known[row] = None if kind is None else (kind, value)
        unreadable.warn()
        return [self._known[row] for row in rows.tolist()]


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
