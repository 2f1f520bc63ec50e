"""Which inverted lists an index has: the table that divides its space, runs of lists, and what is being made."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Final, NamedTuple

import msgpack
import numpy as np

from pqstore.arrays import I64
from pqstore.errors import CorruptIndexError
from pqstore.storage.format import records
from pqstore.storage.format.fields import list_of, nullable, record_of, row, unpack, whole
from pqstore.storage.format.state import LAST_SEGMENT, State

__all__ = ["MAX_PARTITIONS", "ListMerge", "ListRunInfo", "ListState", "PartitionedRows", "joined"]

MAX_PARTITIONS: Final = 65_536


class ListRunInfo(NamedTuple):
    """Rows in order of partition."""

    run: int
    rows: int
    """Dead ones too."""
    covered: tuple[tuple[int, int], ...]
    """Segments, from the first of each pair up to the second: their rows that were live are all in the run."""


class ListMerge(NamedTuple):
    """A merge of runs that goes on over several commits."""

    output: int
    inputs: tuple[int, ...]
    position: int
    """The next partition."""
    rows: int
    """How many rows of the output are written."""


class PartitionedRows(NamedTuple):
    """A partition table, and the lists that are made by it."""

    table: int
    partitions: int
    trained: int
    """How many live rows the index had when the table was trained."""
    runs: tuple[ListRunInfo, ...] = ()
    merge: ListMerge | None = None

    @property
    def numbers(self) -> set[int]:
        """Of everything that belongs to it: the table, runs, the output of a merge."""
        merging = set() if self.merge is None else {self.merge.output}
        return {self.table, *(info.run for info in self.runs), *merging}

    @property
    def rows(self) -> int:
        """Rows in lists, dead ones too."""
        return sum(info.rows for info in self.runs)

    def pending(self, segments: I64) -> I64:
        """Those of ascending segments that no run covers."""
        spans = np.array(sorted(span for info in self.runs for span in info.covered), dtype=np.int64).reshape(-1, 2)
        if len(spans) == 0:
            return segments
        at = np.searchsorted(spans[:, 0], segments, side="right") - 1
        return segments[(at < 0) | (segments >= spans[np.maximum(at, 0), 1])]


@dataclass(frozen=True, slots=True)
class ListState:
    """What is stored under `lists`; an index without it has no lists."""

    current: PartitionedRows | None = None
    """What searches read."""
    building: PartitionedRows | None = None
    """What will take its place when all rows are in it."""
    spent: int = 0
    """Rows before this one have paid for merges; those after it have not yet."""

    def pack(self) -> bytes:
        plain = {"current": _plain(self.current), "building": _plain(self.building), "spent": self.spent}
        return records.pack_record(records.LIST_STATE, 0, 0, 0, [msgpack.packb(plain, use_bin_type=True)])

    @classmethod
    def unpack(cls, value: memoryview) -> ListState:
        """The state of a stored record."""
        return cls(**unpack(records.open_record(value, records.LIST_STATE).payload, "list state", _STATE))

    @property
    def numbers(self) -> set[int]:
        """Of all tables and runs."""
        return {number for rows in (self.current, self.building) if rows is not None for number in rows.numbers}

    def with_current(self, current: PartitionedRows) -> ListState:
        """The same with other lists to read."""
        return replace(self, current=current)

    def check(self, state: State, segment_rows: int) -> None:
        """Raise `CorruptIndexError` where its numbers contradict each other, or the state of the index."""
        count = 0
        for lists in filter(None, (self.current, self.building)):
            count += len(lists.numbers)
            problem = _problem(lists, state, segment_rows)
            if problem is not None:
                raise CorruptIndexError(f"list state: {problem}")
        numbers = self.numbers
        if len(numbers) < count or numbers & {info.run for info in state.runs}:
            raise CorruptIndexError("list state: a number is given twice")
        if any(number >= state.next_run for number in numbers):
            raise CorruptIndexError(f"list state: numbers are not below {state.next_run}")


def joined(spans: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Spans of segments, of which none overlap, ascending and as few as can be."""
    result: list[tuple[int, int]] = []
    for first, end in sorted(spans):
        if result and result[-1][1] == first:
            result[-1] = (result[-1][0], end)
        else:
            result.append((first, end))
    return tuple(result)


def _plain(lists: PartitionedRows | None) -> list[Any] | None:
    if lists is None:
        return None
    runs = [(info.run, info.rows, info.covered) for info in lists.runs]
    return [lists.table, lists.partitions, lists.trained, runs, lists.merge and list(lists.merge)]


def _problem(lists: PartitionedRows, state: State, segment_rows: int) -> str | None:
    spans = sorted(span for info in lists.runs for span in info.covered)
    if any(first >= end or end > state.open_segment for first, end in spans):
        return f"covers segments that are not below {state.open_segment}"
    if any(a[1] > b[0] for a, b in pairwise(spans)):
        return "two runs cover a segment"
    for info in lists.runs:
        if info.rows > segment_rows * sum(end - first for first, end in info.covered):
            return f"run {info.run} has {info.rows} rows, more than the segments that it covers"
    return _problem_of_merge(lists)


def _problem_of_merge(lists: PartitionedRows) -> str | None:
    job, rows = lists.merge, {info.run: info.rows for info in lists.runs}
    if len(rows) < len(lists.runs):
        return "a run is named twice"
    if job is None:
        return None
    if not job.inputs or len(set(job.inputs)) < len(job.inputs) or not set(job.inputs) <= rows.keys():
        return "a merge has inputs that are no runs, or one twice"
    if job.output in rows or job.position >= lists.partitions or job.rows > sum(rows[run] for run in job.inputs):
        return "a merge has an output that cannot be"
    return None


_NUMBER: Final = whole(0, 2**62)
_SPAN: Final = row(whole(0, LAST_SEGMENT), whole(0, LAST_SEGMENT))
_RUN: Final = row(_NUMBER, whole(1, 2**32 - 1), list_of(_SPAN), make=ListRunInfo)
_MERGE: Final = row(_NUMBER, list_of(_NUMBER), whole(0, MAX_PARTITIONS), whole(0, 2**32 - 1), make=ListMerge)
_LISTS: Final = row(_NUMBER, whole(1, MAX_PARTITIONS), _NUMBER, list_of(_RUN), nullable(_MERGE), make=PartitionedRows)
_STATE: Final = record_of({"current": nullable(_LISTS), "building": nullable(_LISTS), "spent": _NUMBER})
