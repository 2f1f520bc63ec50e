"""A write transaction: rows appended and rows killed become visible and durable all at once, or not at all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from pqstore.arrays import I64, U8
from pqstore.errors import CorruptIndexError, IndexNotFoundError, InvalidIdError
from pqstore.storage.attachments.payload_records import Unreadable
from pqstore.storage.disk import crash_points
from pqstore.storage.disk.lmdb_errors import storage_errors
from pqstore.storage.disk.numbered_state import put_state
from pqstore.storage.disk.writer_lock import WriterLock
from pqstore.storage.format import records
from pqstore.storage.format.staged import pack_staged
from pqstore.storage.rows.id_columns import IdColumn, RangeColumn
from pqstore.storage.rows.row_numbers import contiguous
from pqstore.storage.rows.schema import Schema
from pqstore.storage.rows.tombstones import live_positions
from pqstore.storage.transactions.allowances import earned
from pqstore.storage.transactions.attachment_reads import AttachmentReads
from pqstore.storage.transactions.attachment_writes import AttachmentWrites
from pqstore.storage.transactions.cache import Committed
from pqstore.storage.transactions.catalog_writes import CatalogWrites
from pqstore.storage.transactions.committed import CommittedRecords
from pqstore.storage.transactions.faults import Faults
from pqstore.storage.transactions.generation import Generation, SchemaOf
from pqstore.storage.transactions.id_lookup import IdLookup
from pqstore.storage.transactions.living import Moment, ended_rows, living
from pqstore.storage.transactions.open_index import Lease, SharedIndex
from pqstore.storage.transactions.pending import (
    PendingRecords,
    before_appends,
    has_the_tail_of_its_base,
    known_lists,
    tombstones,
    visible,
)
from pqstore.storage.transactions.pending_commit import write_changes
from pqstore.storage.transactions.row_reads import RowReads, are_live
from pqstore.storage.transactions.row_writes import RowWrites
from pqstore.storage.transactions.snapshot import Snapshot
from pqstore.storage.transactions.staging import clear_staged

__all__ = ["WriteTransaction", "begin_write", "change"]

_MAX_ID = 2**63 - 1

Result = TypeVar("Result")


class WriteTransaction:
    """Reads see the transaction's own changes. Rows that `append` returns are good until the transaction ends."""

    def __init__(
        self,
        schema: Schema,
        generation: Generation,
        txn: Any,
        lease: Lease | None,
        *,
        writer: WriterLock,
        faults: Faults,
        flush: bool,
        after_commit: Callable[[WriteTransaction], None] | None = None,
        moment: Moment | None = None,
    ) -> None:
        """Without a lease it has that of another, which ends after it. `after_commit` is called with the lease still
        held; a transaction without one is itself maintenance, and earns none. What fails once the change is committed
        goes to `faults`. Rows that have ended by the `moment` at which it begins are killed first of all: to what
        follows they are not there."""
        number = int(txn.id()) - 1  # of the state that it changes
        self.records = PendingRecords(CommittedRecords(schema, generation, txn, number))
        self.schema = schema
        self.rows = RowReads(self.records)
        self.attachments = AttachmentReads(self.records)
        self.row_writes = RowWrites(self.records)
        self.attachment_writes = AttachmentWrites(self.records, self.attachments)
        self._catalog_writes = CatalogWrites(self.records)
        self._lookup = IdLookup(self.records)
        self.faults = faults
        self._lease = lease
        self._writer = writer
        self._flush = flush
        self._after_commit = after_commit
        self._touched = 0  # rows added and removed
        self._staged = False
        self.has_appended = False
        """Whether it has rows of its own, dead ones too."""
        self._begun_at: int | None = None
        self.expired = 0
        """How many rows had ended when it began."""
        if moment is not None and self.records.state.expiry is not None:
            self._begun_at = moment()
            self.expired = self.kill(ended_rows(self.records.base, self._begun_at))
        self._begun_with = self.records.state

    def __enter__(self) -> WriteTransaction:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.records.base.closed:
            return
        try:
            if kind is not None or not self.records.changed:
                return
            with storage_errors(self.records.generation.index):
                number = self._commit()
            with self.faults.kept("after the commit"):
                self._settle(number)
            if self._after_commit is not None:
                with self.faults.kept("maintenance"):
                    self._after_commit(self)
        finally:
            self.close()

    def close(self) -> None:
        """Undo everything that is not committed."""
        if self.records.base.closed:
            return
        lease, self._lease = self._lease, None
        try:
            self.records.base.close()
            # What is not given back here is found again: it undoes nothing of the change, and is no part of it.
            with self.faults.kept("giving files back"):
                self.attachment_writes.close()
            if self._staged:
                with self.faults.kept("clearing away what was staged"), storage_errors(self.records.generation.index):
                    clear_staged(self.records.generation.environment)
        finally:
            if lease is not None:
                with self.faults.kept("giving the lock back"):
                    lease.end()

    def following(self) -> WriteTransaction:
        """A transaction after the commit of this one and before its end, for maintenance."""
        generation = self.records.generation
        with storage_errors(generation.index):
            txn = self._writer.begin(generation.environment)
        return WriteTransaction(
            self.schema, generation, txn, None, writer=self._writer, faults=self.faults, flush=self._flush
        )

    @property
    def committed(self) -> Snapshot:
        """What this transaction has begun with, without rows that had ended; good until it ends."""
        base = self.records.base
        return Snapshot(base if self._begun_at is None else living(base, self._begun_at), None)

    @property
    def visible(self) -> Snapshot:
        """The state with the changes that were made so far; good until the next of them."""
        pending = self.records
        changed = pending.state is not self._begun_with or pending.catalog_changed or pending.changed_lists is not None
        return Snapshot(visible(pending), None) if changed else self.committed

    @property
    def live_rows(self) -> int:
        """Rows that are stored and not dead."""
        return self.records.state.live_rows

    @property
    def next_id(self) -> int:
        """The next automatic int64 id: one more than any id ever given, at least 0."""
        return self.records.state.next_id

    def rows_of(self, ids: Any) -> I64:
        """Row of every id, int64 (n,); -1 where no live row has it."""
        return self._lookup.rows_of(ids)

    def rows_before(self, ids: Any) -> I64:
        """As `rows_of`, for ids of which this transaction has appended none: its own rows need not be searched."""
        self.records.check()
        if self.records.base.state.live_rows == 0:
            return np.full(len(ids), -1, dtype=np.int64)  # a build
        return IdLookup(before_appends(self.records)).rows_of(ids)

    def append(
        self,
        codes: npt.NDArray[Any],
        ids: Any = None,
        originals: U8 | None = None,
        payloads: Sequence[Any] | None = None,
    ) -> Any:
        """Add rows with codes (n, M) and ids that no live row has.

        `originals`, uint8 (n, row_bytes), must be given exactly when the index stores them. `payloads` are maps, or
        None for rows without one.

        Returns their rows, int64 (n,); with `ids` None the index gives int64 ids, and (rows, ids) come back.
        Raises `InvalidIdError` when int64 has no automatic id left.
        """
        self.records.check()
        count = len(codes)
        if count == 0:
            none = contiguous(0, 0)
            return (none, none.copy()) if ids is None else none
        column, next_id = self._id_column(ids, count)
        assert len(column) == count, "one id a row"
        pending = self.records
        first_row = self.schema.geometry.next_row(pending.state)
        with storage_errors(pending.generation.index):
            self.store(codes, column)
            if originals is not None or payloads is not None or pending.catalog.knows_payloads:
                self.attachment_writes.append(first_row, count, originals, payloads)
        pending.state = pending.state._replace(next_id=next_id, live_rows=pending.state.live_rows + count)
        self.has_appended = True
        self._touched += count
        rows = contiguous(first_row, count)
        return (rows, column.user()) if ids is None else rows

    def _id_column(self, ids: Any, count: int) -> tuple[IdColumn, int]:
        """(ids of new rows, given or automatic; the next id after them)."""
        next_id = self.records.state.next_id
        if ids is None:
            assert self.schema.codec.keys_are_ids, "string ids are given by the caller"
            self._lookup.check_next_id()
            if next_id + count - 1 > _MAX_ID:
                raise InvalidIdError(f"automatic ids would pass {_MAX_ID}, the largest int64: give ids yourself")
            return RangeColumn(next_id, count), next_id + count
        column = self.schema.codec.column(ids)
        if self.schema.codec.keys_are_ids:
            next_id = max(next_id, int(column.user().max()) + 1)
        return column, next_id

    def store(self, codes: npt.NDArray[Any], ids: IdColumn) -> None:
        """Append rows, whole segments as they fill; counters of ids and live rows are the caller's."""
        at = 0
        while at < len(codes):
            stop = at + self.row_writes.next_piece(len(codes) - at)
            self.row_writes.append_piece(codes[at:stop], ids.part(at, stop))
            at = stop
            if self.records.written > self.records.generation.limits.stage_bytes:
                self._stage()

    def kill(self, rows: npt.ArrayLike) -> int:
        """Mark rows as dead; returns how many were live before. Rows that do not exist are passed over."""
        self.records.check()
        wanted = np.asarray(rows, dtype=np.int64)
        if wanted.size != 1:
            wanted = np.unique(wanted)
        wanted = wanted[are_live(self.records, wanted)]
        if len(wanted):
            self.row_writes.kill(wanted)
            self._touched += len(wanted)
        return len(wanted)

    def clear(self) -> int:
        """Mark all rows as dead; how many were live before."""
        self.records.check()
        geometry, before = self.schema.geometry, self.live_rows
        for segment, count in list(geometry.stored(self.records.table.entries, self.records.state)):
            self.kill(live_positions(self.records.bitmap(segment), count) + geometry.first_row(segment))
        return before

    def declare_field(self, name: str, unreadable: Unreadable | None = None) -> None:
        """Give a payload field an index; the first change of a transaction. `unreadable` as of `payloads_of`."""
        self.records.check()
        assert not self.has_appended, "fields are declared before rows are appended"
        with storage_errors(self.records.generation.index):
            self.attachment_writes.declare(name, unreadable)

    def declare_vectorless(self) -> None:
        """Let payloads say of rows that they have no vector: those with the key `VECTORLESS_KEY`. PQStoreError: they
        have so many keys that it gets no number."""
        self.records.check()
        with storage_errors(self.records.generation.index):
            self.attachment_writes.declare_vectorless()

    def come_after(self, commit: int, next_id: int) -> None:
        """Number this commit behind one of another generation, and let no automatic id be below `next_id`."""
        self.records.commits_before = max(commit, self.records.commits_before)
        self.records.state = self.records.state._replace(next_id=max(next_id, self.records.state.next_id))

    def set_note(self, key: str, value: Any) -> None:
        """Keep a small thing beside the index (None: forget it)."""
        self.records.check()
        self._catalog_writes.set_note(key, value)

    def save_set(self, name: str, ids: npt.NDArray[Any] | None) -> None:
        """Keep a set of ids, distinct and ascending, under a name (None: forget it)."""
        self.records.check()
        with storage_errors(self.records.generation.index):
            self._catalog_writes.save_set(name, ids)

    def _stage(self) -> None:
        """Write sealed segments and runs to the disk before the commit that makes them part of the index.

        LMDB holds all pages that a transaction changes in memory. Until the last commit nothing refers to these.
        """
        pending, base, environment = self.records, self.records.base, self.records.generation.environment
        new_segments = [base.state.open_segment, pending.state.open_segment]
        new_runs = [info.run for info in pending.state.runs if info not in base.state.runs]
        pending.put("meta", records.STAGED_KEY, pack_staged(new_segments, new_runs))
        put_state(base.txn, environment.databases["meta"], base.state)
        base.txn.commit()
        self._staged = True
        base.txn = self._writer.begin(environment)
        pending.written = 0
        crash_points.reach("transaction staged")

    def _commit(self) -> int:
        """The change is in the index when this returns, and is not when it raises; LMDB's number of the commit."""
        pending = self.records
        self.row_writes.write_run()
        try:  # noqa: SIM105 - at each commit: `suppress` costs more
            _ = pending.lists  # read while it can be: maintenance asks for it after the commit
        except CorruptIndexError:
            pass
        if self._after_commit is not None:
            limits, segment_rows = pending.generation.limits, self.schema.geometry.segment_rows
            pending.state = earned(pending.state, self._touched, segment_rows, limits)
        self.attachment_writes.write_changes()
        if self._staged:
            pending.delete("meta", records.STAGED_KEY)
        write_changes(pending)
        self.attachment_writes.sync()
        crash_points.reach("before commit")
        number = int(pending.base.txn.id())
        pending.base.txn.commit()
        return number

    def _settle(self, number: int) -> None:
        """What follows a commit."""
        self._staged = False
        environment = self.records.generation.environment
        crash_points.reach("after commit")
        # Another handle of this process may have opened the file with less durability than this one promises.
        if self._flush and environment.sync and not environment.metasync:
            environment.flush()
        self._remember(number)
        self.attachment_writes.committed()

    def _remember(self, number: int) -> None:
        """Spare the next transaction of this process the reading of what this one has just written."""
        pending = self.records
        committed = Committed(number, pending.state, pending.table)
        committed.catalog = pending.changed_catalog or pending.base.cached.catalog
        committed.lists = known_lists(pending)
        if pending.changed_lists is not None:
            pending.generation.cache.forget_lists(pending.changed_lists[0])
        for chunk, (packed, ids) in pending.tail.items():
            if len(ids) < self.schema.geometry.chunk_rows:
                packed.flags.writeable = False
                committed.tail_codes[chunk] = packed
                committed.tail_ids[chunk] = ids
        if has_the_tail_of_its_base(pending):
            committed.take_tail_ids(pending.base.cached)
        for segment, bitmap in pending.bitmaps.items():
            pending.generation.cache.bitmaps[segment] = tombstones(pending, segment).stamp, bitmap
        pending.generation.cache.put(committed)


def begin_write(
    shared: SharedIndex,
    path: Path,
    schema_of: SchemaOf,
    timeout: float | None = None,
    *,
    flush: bool,
    after_commit: Callable[[WriteTransaction], None] | None = None,
    moment: Moment | None = None,
    locked: bool = False,
) -> WriteTransaction:
    """A write transaction in the newest generation of the index at `path`, for a `with` block.

    Waits up to `timeout` seconds (None: 60) for other writers, unless this is called within `WriterLock.run`.
    """
    generation, txn, lease = shared.begin_write(path, timeout, locked=locked)
    try:
        with storage_errors(path):
            return WriteTransaction(
                schema_of(generation),
                generation,
                txn,
                lease,
                writer=shared.writer,
                faults=shared.faults,
                flush=flush,
                after_commit=after_commit,
                moment=moment,
            )
    except BaseException:
        txn.abort()
        lease.end()
        raise


def change(
    shared: SharedIndex,
    path: Path,
    schema_of: SchemaOf,
    work: Callable[[WriteTransaction], Result],
    timeout: float | None,
    *,
    flush: bool,
    after_commit: Callable[[WriteTransaction], None] | None = None,
    moment: Moment | None = None,
) -> Result:
    """`work` in one transaction, which is committed after it. No interrupt leaves the lock behind."""
    shared.check_writable(path)

    def locked() -> Result:
        with begin_write(
            shared, path, schema_of, flush=flush, after_commit=after_commit, moment=moment, locked=True
        ) as txn:
            return work(txn)

    try:
        return shared.writer.run(path, timeout, locked)
    except IndexNotFoundError:
        shared.place.check(path)
        raise
