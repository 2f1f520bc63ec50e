"""The table of sealed segments: which exist, how many of their rows are dead, when their tombstones last changed."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pqstore.arrays import I64
from pqstore.errors import CorruptIndexError
from pqstore.storage.format import records
from pqstore.storage.format.state import State

__all__ = ["SegmentEntry", "SegmentTable"]


class SegmentEntry(NamedTuple):
    """A sealed segment. Its tombstones are stored only when `dead` > 0."""

    dead: int
    stamp: int


class SegmentTable:
    """Immutable, in order of segment numbers. Every sealed segment has the same number of rows."""

    __slots__ = ("_mostly_dead", "entries", "numbers", "stamp", "total_dead")

    def __init__(self, entries: dict[int, SegmentEntry], stamp: int) -> None:
        self.entries = entries
        self.stamp = stamp
        self._mostly_dead: list[tuple[int, int]] | None = None
        self.numbers: I64 = np.fromiter(entries, dtype=np.int64, count=len(entries))
        self.total_dead = sum(entry.dead for entry in entries.values())

    @classmethod
    def read(cls, items: list[tuple[memoryview, memoryview]], state: State, segment_rows: int) -> SegmentTable:
        """The table from the stored entries, in key order, of an index in this state."""
        entries: dict[int, SegmentEntry] = {}
        for segment, rows, dead, changed in records.unpack_segments(items):
            if rows != segment_rows or dead > rows:
                raise CorruptIndexError(
                    f"entry of segment {segment}: {dead} of {rows} rows dead, {segment_rows} expected"
                )
            if segment >= state.open_segment or changed > state.commit:
                raise CorruptIndexError(
                    f"entry of segment {segment}: changed in commit {changed}, but the index has segments below "
                    f"{state.open_segment} and is at commit {state.commit}"
                )
            entries[segment] = SegmentEntry(dead, changed)
        return cls(entries, state.table_stamp)

    def __len__(self) -> int:
        return len(self.entries)

    def mostly_dead(self, above: int) -> list[tuple[int, int]]:
        """(dead, segment) of segments with more than so many dead rows, the worst first."""
        if self.total_dead <= above:
            return []
        if self._mostly_dead is None:
            self._mostly_dead = sorted(
                ((entry.dead, segment) for segment, entry in self.entries.items() if entry.dead > above), reverse=True
            )
        return self._mostly_dead

    def contains(self, segments: I64) -> npt.NDArray[np.bool_]:
        """Which of these segment numbers exist."""
        if len(self.numbers) == 0:
            return np.zeros(len(segments), dtype=np.bool_)
        at = np.minimum(np.searchsorted(self.numbers, segments), len(self.numbers) - 1)
        return np.asarray(self.numbers[at] == segments)

    def with_changes(self, changed: dict[int, SegmentEntry | None], stamp: int) -> SegmentTable:
        """The table with entries replaced, added (in ascending order) or, where None, removed."""
        entries = dict(self.entries)
        for segment, entry in changed.items():
            if entry is None:
                entries.pop(segment, None)
            else:
                entries[segment] = entry
        return SegmentTable(dict(sorted(entries.items())), stamp)
