"""How much of the inverted lists a search reads."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from pqstore.arrays import F32, I64
from pqstore.errors import CorruptIndexError
from pqstore.index.arguments.counts import as_count
from pqstore.index.lists.prepared import PreparedLists, prepared_lists
from pqstore.index.reading import Reading
from pqstore.index.search.calibration import calibrated_scan
from pqstore.index.search.results import ListPlan
from pqstore.index.selection.selection import Selection
from pqstore.storage import SnapshotLists

__all__ = ["ROWS_OF_ROOT", "Probe", "as_probe"]

ROWS_OF_ROOT = 24
"""Rows that are read by default, for each of the square root of all rows."""

_ALL = 1 << 62
# What a row of lists costs, in rows of a flat scan.
_LIST_COST = 2.0
# Under a filter that leaves a share of the rows, the budget grows as this power of it.
_BUDGET_POWER = -0.25


class Probe:
    """The lists that searches of one call read."""

    def __init__(self, prepared: PreparedLists, lists: int, rows: int, least: int, allowed: int = 0) -> None:
        """At most so many lists of a query, and no more once they have so many rows; but more where fewer than `least`
        rows are found, or, under a filter, fewer than `allowed` of their rows are allowed."""
        self._prepared = prepared
        self._lists, self._rows, self._least, self._allowed = lists, rows, least, allowed
        self._read: I64 | None = None

    @property
    def prepared(self) -> Any:
        """The lists, as `Searcher.prepare_lists` gave them."""
        return self._prepared.prepared

    @property
    def effort(self) -> tuple[int, int, int]:
        """How much of them is read for a query: lists, rows, and the least to find; see `Searcher.search_lists`."""
        return self._lists, self._rows, max(self._least, self._allowed)

    def search(self, reading: Reading, queries: F32, k: int, threads: int) -> tuple[F32, I64]:
        """The k nearest rows of these lists, equal distances by row; see `nearest_rows`."""
        least, runs = max(min(k, self._least), self._allowed), self._prepared.reads.runs

        def read_chunk(run: int, ordinal: int) -> Any:
            return SnapshotLists(reading.snapshot).chunk(runs[run], ordinal)

        def ask(chunks: Sequence[tuple[int, int]]) -> None:
            SnapshotLists(reading.snapshot).ask_for((runs[run], ordinal) for run, ordinal in chunks)

        try:
            distances, rows, read = reading.coded.search_lists(
                queries, self._prepared.prepared, read_chunk, k, self._lists, self._rows, least, threads, ask
            )
        except CorruptIndexError as error:
            raise _told(error) from error
        if self._read is None:
            self._read = read
        return distances, rows

    def plan(self) -> ListPlan:
        """What the first search of this has read."""
        read = np.zeros((0, 3), dtype=np.int64) if self._read is None else self._read
        lists, rows, pieces = read.mean(axis=0).tolist() if len(read) else (0.0, 0.0, 0.0)
        current = self._prepared.reads.lists
        budget = None if self._rows == _ALL else self._rows
        return ListPlan(current.partitions, len(current.runs), lists, rows, pieces, self._prepared.flat_rows, budget)


def _told(error: CorruptIndexError) -> CorruptIndexError:
    """Damage in lists is told with what can be done about it."""
    return CorruptIndexError(f"{error}: partition() makes the lists anew; nprobe='all' does without them")


def as_probe(
    reading: Reading, nprobe: Any, scan: Any, k: int, selection: Selection | None, usual: int | None = None
) -> Probe | None:
    """What to read of the lists for the k nearest; None: all rows, by a flat scan. Where neither `nprobe` nor `scan`
    says it, `usual` rows, grown under a filter, unless something else is as quick; None: what is read by default.

    Raises:
        TypeError, ValueError: an argument cannot be meant, or asks for lists that the index does not have.
    """
    lists = None if nprobe is None or nprobe == "all" else _as_nprobe(nprobe)
    budget = None if scan is None else _as_scan(scan)
    if nprobe == "all":
        if budget is not None:
            raise ValueError("nprobe='all' reads all rows: leave out scan")
        return None
    try:
        prepared = prepared_lists(reading)
    except CorruptIndexError as error:
        raise _told(error) from error
    if prepared is None:
        if lists is not None or budget is not None:
            name = "nprobe" if budget is None else "scan"
            raise ValueError(f"{name} says how much of the lists to read, and this index has none: call partition()")
        return None
    return _chosen(reading, prepared, lists, budget, k, selection, usual)


def _as_nprobe(nprobe: Any) -> int:
    if isinstance(nprobe, (str, bool)):
        raise TypeError(f"nprobe must be a number of lists, 'all' or None, got {nprobe!r}")
    return min(as_count(nprobe, "nprobe"), _ALL)


def _as_scan(scan: Any) -> int:
    if isinstance(scan, bool):
        raise TypeError("scan must be a number of rows or None, got a bool")
    return min(as_count(scan, "scan"), _ALL)


def _chosen(
    reading: Reading,
    prepared: PreparedLists,
    lists: int | None,
    budget: int | None,
    k: int,
    selection: Selection | None,
    usual: int | None,
) -> Probe | None:
    """The probe of what was asked for, or of what is quickest where nothing was."""
    if not prepared.reads.runs:  # no list has anything
        return None
    if lists is not None and lists >= prepared.reads.lists.partitions and budget is None:
        return None
    allowed = reading.snapshot.live_rows if selection is None else selection.count
    enough = 0
    if lists is None and budget is None:
        budget, enough = _usual(reading, prepared, selection, usual)
        if budget == 0:
            return None
    if selection is not None:
        mine = prepared_lists(reading, selection)
        assert mine is not None, "the state has lists"
        prepared = mine
    most = _ALL if lists is None else lists
    return Probe(prepared, most, _ALL if budget is None else budget, min(k, allowed), enough)


def _usual(reading: Reading, prepared: PreparedLists, selection: Selection | None, rows: int | None) -> tuple[int, int]:
    """Rows that a search reads which would read so many of all, and how many of them must be allowed at least; (0, 0)
    where something else than lists is as quick. Worked out once for a state, or for a selection of its rows."""
    kept: dict[Any, Any] = reading.kept if selection is None else selection.kept
    known: tuple[int | None, tuple[int, int]] | None = kept.get("usual")
    if known is None or known[0] != rows:
        known = kept["usual"] = rows, _worked_out(reading, prepared, selection, rows)
    return known[1]


def _worked_out(
    reading: Reading, prepared: PreparedLists, selection: Selection | None, rows: int | None
) -> tuple[int, int]:
    stored, enough = max(1, reading.snapshot.total_rows), 0
    others, budget = stored, rows or calibrated_scan(reading) or _by_default(prepared)
    if selection is not None:
        share = max(selection.count, 1) / stored
        budget = int(budget * share**_BUDGET_POWER)
        # So many were allowed of these rows if the filter had nothing to do with where vectors lie.
        enough = int(budget * share)
        if selection.may_gather(reading):
            others = min(stored, selection.count)  # which is what it costs from the second time on, and it is exact
    return (budget, enough) if prepared.flat_rows + _LIST_COST * budget < others else (0, 0)


def _by_default(prepared: PreparedLists) -> int:
    return max(1, int(ROWS_OF_ROOT * math.sqrt(prepared.reads.lists.rows)))
