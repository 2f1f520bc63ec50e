"""To which partitions the rows of segments belong: worked out a slice at a time, and kept until a run takes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from pqstore.arrays import I64
from pqstore.storage.lists.stored_table import StoredTable

__all__ = ["Assign", "Assigner"]


class Assign(Protocol):
    """Who knows what codes mean."""

    def __call__(self, number: int, table: StoredTable, codes: npt.NDArray[Any], /) -> I64:
        """The partitions, int64 (n,), of stored labels (n, M); a table has one number for ever."""


class Assigner:
    """Of one handle. What it keeps is lost with the process, and then worked out again."""

    def __init__(self, assign: Assign) -> None:
        self.assign = assign
        self._table = -1
        self._known: dict[int, list[I64]] = {}  # by segment: of its first rows
        self._done: dict[int, int] = {}

    def rows_left(self, number: int, segment: int, rows: int) -> int:
        """How many of the rows of a segment are not assigned yet by this table."""
        return rows - (self._done.get(segment, 0) if number == self._table else 0)

    def go_on(self, number: int, table: StoredTable, segments: Sequence[int], codes: npt.NDArray[Any]) -> None:
        """Assign the next rows of some segments, as many of each, those with these codes: together, since a table is
        read once for all of them."""
        if number != self._table:
            self._table, self._known, self._done = number, {}, {}
        assigned = self.assign(number, table, codes)
        for segment, part in zip(segments, np.split(assigned, len(segments)), strict=True):
            self._known.setdefault(segment, []).append(part)
            self._done[segment] = self._done.get(segment, 0) + len(part)

    def done(self, segment: int) -> int:
        """How many rows of a segment are assigned."""
        return self._done.get(segment, 0)

    def take(self, segment: int) -> I64:
        """The partitions of all rows of a segment, int64 (rows,), which are forgotten here."""
        del self._done[segment]
        return np.concatenate(self._known.pop(segment))

    def forget(self) -> None:
        """Nothing that was kept is wanted."""
        self._table, self._known, self._done = -1, {}, {}
