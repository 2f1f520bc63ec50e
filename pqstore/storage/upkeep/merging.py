"""Runs of the id map merged, a bounded piece at a time."""

from __future__ import annotations

from functools import partial

from pqstore.storage.disk import crash_points
from pqstore.storage.format.state import MergeJob, RunInfo, State
from pqstore.storage.idmap.merge import delete_run, plan_merge, step
from pqstore.storage.limits import Limits
from pqstore.storage.transactions.pending import PendingRecords
from pqstore.storage.transactions.row_reads import are_live
from pqstore.storage.transactions.write import WriteTransaction

__all__ = ["merge_all", "merge_due", "merge_some"]


def merge_due(state: State, limits: Limits) -> MergeJob | None:
    """The merge to go on with, or to begin, when enough rows have been added for it."""
    if state.merge_allowance < limits.merge_step:
        return None
    return state.merge or plan_merge(state.runs, state.next_run, state.live_rows, limits.smallest_tier)


def merge_some(txn: WriteTransaction, job: MergeJob) -> None:
    """A piece of a merge: enough of them for what rows have earned, but not much at once."""
    pending = txn.records
    allowance = pending.state.merge_allowance
    if pending.state.merge is None:
        pending.state = pending.state._replace(next_run=pending.state.next_run + 1)
    at_once = max(pending.generation.limits.merge_at_once, allowance // 8)
    spent = _step(pending, job, min(allowance, at_once))
    pending.state = pending.state._replace(merge_allowance=max(0, allowance - spent))


def merge_all(txn: WriteTransaction, budget: int, merged: set[int]) -> bool:
    """Merge about so many entries towards a single run; True when there is one.

    `merged`, of one compaction, takes the runs that come out: none is merged alone again, however many entries it has.
    """
    pending = txn.records
    while budget > 0:
        state = pending.state
        job = state.merge
        if job is None:
            alone = [info for info in state.runs if info.entries > state.live_rows and info.run not in merged]
            if len(state.runs) <= 1 and not alone:
                return True
            job = MergeJob(state.next_run, tuple(info.run for info in state.runs), (0,) * len(state.runs), 0)
            merged.add(job.output)
            pending.state = state._replace(next_run=state.next_run + 1, merge=job)
        budget -= max(1, _step(pending, job, budget))
    return False


def _step(pending: PendingRecords, job: MergeJob, budget: int) -> int:
    """Go on with a merge, and put its output in the place of its inputs when it is done; the entries it took."""
    infos = {info.run: info for info in pending.state.runs}
    inputs = [pending.run(infos[run]) for run in job.inputs]
    job, spent, done = step(job, inputs, budget, partial(are_live, pending), pending.get, pending.put)
    if not done:
        pending.state = pending.state._replace(merge=job)
        crash_points.reach("merge step done")
        return spent
    for reader in inputs:
        delete_run(reader, pending.delete)
        pending.forget_run(reader.run)
    runs = tuple(info for info in pending.state.runs if info.run not in job.inputs)
    if job.entries:
        runs = (*runs, RunInfo(job.output, job.entries))
    pending.state = pending.state._replace(merge=None, runs=runs)
    crash_points.reach("merge finished")
    return spent
