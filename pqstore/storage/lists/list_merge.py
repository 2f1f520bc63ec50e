"""Runs of lists made and merged: which ones, and a bounded piece of the work at a time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from pqstore.arrays import I64
from pqstore.storage.format.list_state import ListMerge, ListRunInfo
from pqstore.storage.format.records import Get, Put
from pqstore.storage.lists.list_runs import LONGEST_SPAN, ListReader, ListWriter, read_offsets
from pqstore.storage.rows.packing import RowPacking

__all__ = ["AreLive", "fits_one_run", "merge_step", "plan_list_merge", "write_list_run"]

AreLive = Callable[[I64], npt.NDArray[np.bool_]]

_FAN_IN: Final = 4
_STALE: Final = 1.3  # rows in lists for each live one


def plan_list_merge(
    runs: Sequence[ListRunInfo], output: int, live_rows: int, segment_rows: int, smallest: int
) -> ListMerge | None:
    """Merge the runs of the lowest tier that has four; all, one too, when too many of their rows must be dead."""
    if runs and sum(info.rows for info in runs) > smallest + _STALE * live_rows and fits_one_run(runs, segment_rows):
        return ListMerge(output, tuple(info.run for info in runs), 0, 0)
    tiers: defaultdict[int, list[ListRunInfo]] = defaultdict(list)
    for info in runs:
        tiers[_tier(info.rows, smallest)].append(info)
    for _, inputs in sorted(tiers.items()):
        if len(inputs) >= _FAN_IN and fits_one_run(inputs, segment_rows):
            return ListMerge(output, tuple(info.run for info in inputs), 0, 0)
    return None


def _tier(rows: int, smallest: int) -> int:
    tier = 0
    while rows > smallest:
        rows //= _FAN_IN
        tier += 1
    return tier


def fits_one_run(runs: Sequence[ListRunInfo], segment_rows: int) -> bool:
    """Whether row numbers of one run could name the rows of these."""
    first = min(span[0] for info in runs for span in info.covered)
    end = max(span[1] for info in runs for span in info.covered)
    return (end - first) * segment_rows < LONGEST_SPAN


def write_list_run(
    run: int,
    rows: I64,
    partitions: I64,
    codes: npt.NDArray[Any],
    count: int,
    packing: RowPacking,
    put: Put,
) -> None:
    """A new run of rows that ascend, their partitions below `count`, and their codes (n, M)."""
    order = np.argsort(partitions.astype(np.uint16) if count <= 65_536 else partitions, kind="stable")
    writer = ListWriter(run, int(rows[0]), packing, put)
    writer.append(codes[order], rows[order])
    offsets = np.concatenate(([0], np.cumsum(np.bincount(partitions, minlength=count))))
    writer.finish(offsets)


def merge_step(
    job: ListMerge,
    inputs: Sequence[ListReader],
    partitions: int,
    budget: int,
    are_live: AreLive,
    packing: RowPacking,
    get: Get,
    put: Put,
) -> tuple[ListMerge, int]:
    """Deal with about `budget` rows, whole lists. Returns the job as it stands, and how many rows it took.

    Dead rows are dropped. The last chunk of the output is written anew in the next step, and its directory says of
    lists that are not there yet that they are empty.
    """
    ends = sum(reader.offsets.astype(np.int64) for reader in inputs)
    assert isinstance(ends, np.ndarray)
    wanted = int(np.searchsorted(ends, ends[job.position] + budget, side="right")) - 1
    end = max(min(job.position + 1, partitions), wanted)
    first_row = min(reader.first_row for reader in inputs)
    writer, offsets = ListWriter(job.output, first_row, packing, put), np.zeros(partitions + 1, dtype=np.int64)
    if job.position:
        offsets = read_offsets(job.output, job.rows, partitions, get)[1].astype(np.int64)
        writer.go_on(job.rows, get)
    pieces = [reader.lists(job.position, end, get) for reader in inputs]
    codes, rows = (np.concatenate([piece[part] for piece in pieces]) for part in (0, 1))
    lists = np.arange(job.position, end)
    of_row = np.concatenate([np.repeat(lists, np.diff(reader.offsets[job.position : end + 1])) for reader in inputs])
    kept = np.flatnonzero(are_live(rows))
    order = kept[np.lexsort((rows[kept], of_row[kept]))]
    if len(order):
        writer.append(codes[order], rows[order])
    counts = np.bincount(of_row[kept] - job.position, minlength=end - job.position)
    offsets[job.position + 1 : end + 1] = job.rows + np.cumsum(counts)
    offsets[end + 1 :] = writer.rows
    writer.finish(offsets)
    return ListMerge(job.output, job.inputs, end, writer.rows), len(rows)
