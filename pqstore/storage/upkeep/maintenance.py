"""Maintenance: dead rows rewritten away, runs of the id map merged, in transactions that change no answer."""

from __future__ import annotations

import os

from pqstore.errors import StorageFullError
from pqstore.storage.disk.crash_points import reach
from pqstore.storage.disk.lmdb_errors import storage_errors
from pqstore.storage.format import records
from pqstore.storage.format.state import MergeJob, RunInfo
from pqstore.storage.idmap.merge import delete_run, plan_merge, step
from pqstore.storage.idmap.ranges import trimmed
from pqstore.storage.rows.tombstones import live_positions
from pqstore.storage.transactions.open_index import Lease
from pqstore.storage.transactions.write import WriteTransaction

__all__ = ["MaintenanceTransaction", "maintain"]

_REWRITE_ABOVE = 0.3  # share of dead rows
_MERGE_STEP = 2 * records.RUN_CHUNK_ENTRIES
_MERGE_AT_ONCE = 8 * records.RUN_CHUNK_ENTRIES


def maintain(done: WriteTransaction) -> None:
    """Rewriting and merging that is due after a commit, while its writer still has the lock.

    What one of these transactions frees a later one can fill, which keeps the file small, and the caller's rows are in
    already.
    """
    latest: WriteTransaction = done
    try:
        while _merge_due(latest) is not None or _rewrite_due(latest):
            with storage_errors(done.environment.path.parent):
                txn = done.environment.begin(write=True)
            transaction = MaintenanceTransaction(done.shape, done.environment, txn, _NoLease(), flush=done.flush)
            with transaction:
                transaction.do_what_is_due()
            latest = transaction
    except StorageFullError:
        # Giving space back needs space first; a later commit tries again.
        return


def _merge_due(txn: WriteTransaction) -> MergeJob | None:
    """The merge to go on with, or to begin, when enough rows have been added for it."""
    state = txn.state
    if state.merge_allowance < _MERGE_STEP:
        return None
    return state.merge or plan_merge(state.runs, state.next_run, state.live_rows)


def _rewrite_due(txn: WriteTransaction) -> list[int]:
    """Segments to rewrite now: the worst, when enough rows have been added and removed for it."""
    rows, allowance = txn.shape.segment_rows, txn.state.rewrite_allowance
    due: list[int] = []
    for dead, segment in txn.table.mostly_dead(int(_REWRITE_ABOVE * rows)):
        if dead < rows and allowance < rows:
            break
        allowance -= rows - dead
        due.append(segment)
    return due[: max(1, len(due) // 8)]


class MaintenanceTransaction(WriteTransaction):
    """A write transaction that moves rows and merges runs."""

    def __enter__(self) -> MaintenanceTransaction:
        return self

    def do_what_is_due(self) -> None:
        """A piece of it."""
        with storage_errors(self.environment.path.parent):
            segments = _rewrite_due(self)
            if segments:
                self._rewrite(segments)
                return
            job = _merge_due(self)
            if job is not None:
                self._merge(job)

    def _earn(self) -> None:
        """Maintenance spends what other transactions have earned."""

    # -- runs ----------------------------------------------------------------------------------------------------

    def _merge(self, job: MergeJob) -> None:
        """A piece of a merge: enough of them for what rows have earned, but not much at once."""
        allowance = self.state.merge_allowance
        if self.state.merge is None:
            self._current = self.state._replace(next_run=self.state.next_run + 1)
        spent = self._merge_step(job, min(allowance, max(_MERGE_AT_ONCE, allowance // 8)))
        self._current = self.state._replace(merge_allowance=max(0, allowance - spent))

    def merge_all(self, budget: int) -> bool:
        """Merge about so many entries towards a single run; True when there is one."""
        self._check_writable()
        with storage_errors(self._environment.path.parent):
            while budget > 0:
                job, runs = self.state.merge, self.state.runs
                if job is None:
                    if len(runs) <= 1 and not any(info.entries > self.live_rows for info in runs):
                        return True
                    job = MergeJob(self.state.next_run, tuple(i.run for i in runs), (0,) * len(runs), 0)
                    self._current = self.state._replace(next_run=self.state.next_run + 1, merge=job)
                budget -= max(1, self._merge_step(job, budget))
        return False

    def _merge_step(self, job: MergeJob, budget: int) -> int:
        """Go on with a merge, and put its output in the place of its inputs when it is done."""
        infos = {info.run: info for info in self._current.runs}
        inputs = [self._run(infos[run]) for run in job.inputs]
        job, spent, done = step(job, inputs, budget, self.are_live, self._get, self._put)
        if not done:
            self._current = self._current._replace(merge=job)
            reach("merge step done")
            return spent
        for reader in inputs:
            delete_run(reader, self._delete)
            self._private_runs.pop(reader.run, None)
        runs = tuple(info for info in self._current.runs if info.run not in job.inputs)
        if job.entries:
            runs = (*runs, RunInfo(job.output, job.entries))
        self._current = self._current._replace(merge=None, runs=runs)
        reach("merge finished")
        return spent

    # -- dead rows -----------------------------------------------------------------------------------------------

    def _rewrite(self, segments: list[int]) -> None:
        """Give the space of segments with many dead rows back."""
        allowance = self.state.rewrite_allowance
        for segment in segments:
            allowance -= self._shape.segment_rows - self.table.entries[segment].dead
            self.rewrite_segment(segment)
        self._current = self.state._replace(rewrite_allowance=max(0, allowance))

    def rewrite_segment(self, segment: int) -> None:
        """Append the live rows of a sealed segment again, and drop it."""
        live = live_positions(self._bitmap(segment), self._shape.segment_rows)
        if len(live):
            moved = self.attachments.moving(segment, live) if self._has_attachments else None
            first_row = self.state.open_segment * self._shape.segment_rows + self.state.tail_rows
            codes = self._shape.packing.gather(self._codes(segment), live)
            self._store(codes, self._ids(segment).take(live))
            if moved is not None:
                moved(first_row)
        for database in ("codes", "rowids", "tombstones"):
            self._delete(database, records.key1(segment))
        if self._has_attachments:
            self.attachments.drop(segment)
        self._bitmaps.pop(segment, None)
        self._change_segment(segment, None)
        ranges = trimmed(self._current.ranges, self._shape.segment_rows, lambda s: s in self._changed_or_there())
        self._current = self._current._replace(ranges=ranges)
        reach("segment rewritten")

    def rewrite_dead(self, segments: int) -> bool:
        """Rewrite up to so many segments with dead rows, the tail at last; True when none is left."""
        self._check_writable()
        with storage_errors(self._environment.path.parent):
            with_dead = [segment for segment, entry in self.table.entries.items() if entry.dead]
            for segment in with_dead[:segments]:
                self.rewrite_segment(segment)
            if len(with_dead) > segments:
                return False
            if self.state.tail_dead:
                self._rewrite_tail()
            return True

    def _rewrite_tail(self) -> None:
        """Begin the open segment again under the next number, with the live rows only."""
        state, rows = self.state, self._shape.segment_rows
        segment, span = state.open_segment, self._tail_span()
        live = live_positions(self._bitmap(segment), state.tail_rows) + segment * rows
        codes = self.codes_of(live)
        ids = self._shape.codec.column(self.ids_of(live))
        moved = None
        if self._has_attachments:
            moved = self.attachments.moving(segment, live - segment * rows)
            self.attachments.drop(segment)
        self._leave_tail(span)
        self._delete("tombstones", records.key1(segment))
        self._bitmaps.pop(segment, None)
        self._current = state._replace(open_segment=segment + 1, tail_rows=0, tail_dead=0, tail_stamp=0)
        self._store(codes, ids)
        if moved is not None:
            moved(self.state.open_segment * rows)

    def _changed_or_there(self) -> set[int]:
        return {*self.table.entries, self._current.open_segment}


class _NoLease(Lease):
    """Of a transaction inside another's lease."""

    __slots__ = ()

    def __init__(self) -> None:
        self._shared = None
        self._writer = None
        self.pid = os.getpid()
