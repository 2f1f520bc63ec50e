"""Lists that follow rows: sealed segments put into runs, and runs merged, a bounded piece at a time."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from itertools import takewhile
from typing import Final, Literal, TypeAlias

import numpy as np

from pqstore.storage.disk import crash_points
from pqstore.storage.format import records
from pqstore.storage.format.list_state import ListMerge, ListRunInfo, ListState, PartitionedRows, joined
from pqstore.storage.lists.assigning import Assigner
from pqstore.storage.lists.list_merge import fits_one_run, merge_step, plan_list_merge, write_list_run
from pqstore.storage.lists.list_runs import ListReader, delete_list_run
from pqstore.storage.rows.tombstones import live_positions
from pqstore.storage.transactions.list_reads import list_table, pending_segments
from pqstore.storage.transactions.pending import PendingRecords, known_lists
from pqstore.storage.transactions.row_reads import are_live
from pqstore.storage.transactions.write import WriteTransaction

__all__ = ["ListWork", "list_all", "list_some", "list_work", "merge_lists", "put_into_run", "rows_to_list"]

ListWork: TypeAlias = Literal["assign", "merge"]

_DECODED_VALUES: Final = 1 << 25  # at a time
_FEWEST_ROWS: Final = 1024


def list_work(txn: WriteTransaction, budget: int) -> ListWork | None:
    """What is due for the lists, where so many rows may be assigned."""
    pending, limits = txn.records, txn.records.generation.limits
    known = known_lists(pending)
    state = None if known is None else known[0]
    if state is None or state.current is None:
        return None
    if txn.schema.assigner is not None and budget > 0 and len(pending_segments(pending, state.current)):
        return "assign"
    if _earned(txn, state) >= limits.list_step and _merge_of(pending, state.current) is not None:
        return "merge"
    return None


def _earned(txn: WriteTransaction, state: ListState) -> int:
    """Rows of lists that may be merged now."""
    rows = txn.schema.geometry.next_row(txn.records.state) - state.spent
    return max(0, rows) * txn.records.generation.limits.list_per_row


def _merge_of(pending: PendingRecords, lists: PartitionedRows) -> ListMerge | None:
    """The merge to go on with, or to begin."""
    state, limits = pending.state, pending.generation.limits
    rows = pending.schema.geometry.segment_rows
    return lists.merge or plan_list_merge(lists.runs, state.next_run, state.live_rows, rows, limits.list_smallest_tier)


def list_some(txn: WriteTransaction, work: ListWork, budget: int) -> int:
    """A piece of what is due. `budget`: rows that may be assigned; returns what is left of it."""
    pending, limits = txn.records, txn.records.generation.limits
    state = pending.lists
    assert state is not None, "it was due"
    assert state.current is not None, "it was due"
    if work == "assign":
        current, left = put_into_run(txn, state.current, budget)
        if current is not state.current:
            pending.changed_lists = (state.with_current(current),)
        return left
    job = _merge_of(pending, state.current)
    assert job is not None, "it was due"
    earned = _earned(txn, state)
    current, spent = _merge_some(pending, state.current, job, min(earned, max(limits.list_at_once, earned // 8)))
    next_row = txn.schema.geometry.next_row(pending.state)
    paid = max(state.spent, next_row - limits.list_smallest_tier) + -(-spent // limits.list_per_row)
    pending.changed_lists = (replace(state, current=current, spent=min(next_row, paid)),)
    return budget


def put_into_run(txn: WriteTransaction, lists: PartitionedRows, budget: int) -> tuple[PartitionedRows, int]:
    """Assign about so many rows of pending segments, and put segments of which all are assigned into a run. Returns the
    lists as they are then, and what is left of the budget."""
    pending, rows = txn.records, txn.schema.geometry.segment_rows
    # Another handle of this process may put its own in the place of this one at any time.
    assigner: Assigner = txn.schema.assigner
    waiting, most = pending_segments(pending, lists).tolist(), pending.generation.limits.list_run_rows
    done: list[int] = []
    while waiting and budget > 0 and len(done) * rows < most:
        room = max(1, min(_block(txn, lists), budget, most - len(done) * rows) // rows)
        lefts = [assigner.rows_left(lists.table, segment, rows) for segment in waiting[:room]]
        left = lefts[0]
        some = waiting[: len(list(takewhile(left.__eq__, lefts)))]  # only such as are in the same state
        if left:
            _assign(txn, assigner, lists, some, rows - left, min(left, budget))
            budget -= min(left * len(some), budget)
        done += [segment for segment in some if assigner.done(segment) == rows]
        waiting = waiting[len(some) :]
    return (_with_run(txn, assigner, lists, done) if done else lists), budget


def _block(txn: WriteTransaction, lists: PartitionedRows) -> int:
    """How many rows are assigned at a time."""
    return max(_FEWEST_ROWS, _DECODED_VALUES // list_table(txn.records, lists).stored.shape[1])


def _assign(
    txn: WriteTransaction, assigner: Assigner, lists: PartitionedRows, segments: list[int], first: int, count: int
) -> None:
    """Assign rows first .. first + count - 1 of each of some segments."""
    pending, packing = txn.records, txn.schema.packing
    block = max(1, _block(txn, lists) // len(segments))
    for start in range(first, first + count, block):
        positions = np.arange(start, min(start + block, first + count))
        codes = np.concatenate([packing.gather(pending.codes(segment), positions) for segment in segments])
        assigner.go_on(lists.table, list_table(pending, lists), segments, codes)


def _with_run(
    txn: WriteTransaction, assigner: Assigner, lists: PartitionedRows, segments: list[int]
) -> PartitionedRows:
    """The lists with a new run of the live rows of some segments."""
    pending, geometry, packing = txn.records, txn.schema.geometry, txn.schema.packing
    of_rows, partitions, codes = [], [], []
    for segment in segments:
        live = live_positions(pending.bitmap(segment), geometry.segment_rows)
        partitions.append(assigner.take(segment)[live])
        of_rows.append(live + geometry.first_row(segment))
        codes.append(packing.gather(pending.codes(segment), live))
    run, rows = pending.state.next_run, np.concatenate(of_rows)
    write_list_run(run, rows, np.concatenate(partitions), np.concatenate(codes), lists.partitions, packing, pending.put)
    pending.state = pending.state._replace(next_run=run + 1)
    covered = joined((segment, segment + 1) for segment in segments)
    crash_points.reach("list run written")
    return lists._replace(runs=(*lists.runs, ListRunInfo(run, len(rows), covered)))


def _merge_some(
    pending: PendingRecords, lists: PartitionedRows, job: ListMerge, budget: int
) -> tuple[PartitionedRows, int]:
    """Go on with a merge, and put its output in the place of its inputs when it is done; the rows it took."""
    infos = {info.run: info for info in lists.runs}
    packing, get = pending.schema.packing, pending.get
    if lists.merge is None:
        pending.state = pending.state._replace(next_run=job.output + 1)
    inputs = [ListReader(infos[run], lists.partitions, packing, get) for run in job.inputs]
    live = partial(are_live, pending)
    job, spent = merge_step(job, inputs, lists.partitions, budget, live, packing, get, pending.put)
    if job.position < lists.partitions:
        crash_points.reach("list merge step done")
        return lists._replace(merge=job), spent
    for run in job.inputs:
        delete_list_run(run, infos[run].rows, packing, pending.delete)
    runs = tuple(info for info in lists.runs if info.run not in job.inputs)
    if job.rows:
        covered = joined(span for run in job.inputs for span in infos[run].covered)
        runs = (*runs, ListRunInfo(job.output, job.rows, covered))
    else:
        pending.delete("runs", records.key1(job.output))
    crash_points.reach("list merge step done")
    return lists._replace(runs=runs, merge=None), spent


def merge_lists(
    txn: WriteTransaction, lists: PartitionedRows, budget: int, merged: set[int]
) -> tuple[PartitionedRows, bool]:
    """Merge about so many rows towards a single run; whether there is one, or as few as there can be.

    `merged` takes the runs that come out: none is merged alone again, however many of its rows are dead.
    """
    pending, segment_rows = txn.records, txn.schema.geometry.segment_rows
    while budget > 0:
        job = lists.merge
        if job is None:
            alone = len(lists.runs) == 1 and (lists.rows <= pending.state.live_rows or lists.runs[0].run in merged)
            if not lists.runs or alone or not fits_one_run(lists.runs, segment_rows):
                return lists, True
            job = ListMerge(pending.state.next_run, tuple(info.run for info in lists.runs), 0, 0)
        merged.add(job.output)
        lists, spent = _merge_some(pending, lists, job, budget)
        budget -= max(1, spent)
    return lists, False


def rows_to_list(txn: WriteTransaction) -> int:
    """Rows that `list_all` has to deal with; those of a run that is alone, too."""
    state, rows = txn.records.lists, txn.schema.geometry.segment_rows
    if state is None or state.current is None:
        return 0
    position = 0 if state.current.merge is None else state.current.merge.rows
    return max(0, len(pending_segments(txn.records, state.current)) * rows + state.current.rows - position)


def list_all(txn: WriteTransaction, budget: int, merged: set[int]) -> bool:
    """About so many rows of what makes all lists one run that covers all segments; True when that is done."""
    pending = txn.records
    state = pending.lists
    if state is None or state.current is None:
        return True
    if txn.schema.assigner is not None and len(pending_segments(pending, state.current)):
        current, done = put_into_run(txn, state.current, budget)[0], False
    else:
        current, done = merge_lists(txn, state.current, budget, merged)
    if current != state.current:
        pending.changed_lists = (state.with_current(current),)
    return done
