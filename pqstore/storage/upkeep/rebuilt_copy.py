"""The rows of an index in other codes: an index of its own, on its way to become the next generation."""

from __future__ import annotations

import shutil
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from pqstore.arrays import I64, U8
from pqstore.errors import IndexLockedError, PQStoreError
from pqstore.progress import Progress, ProgressStep
from pqstore.storage.disk import crash_points, directory
from pqstore.storage.disk.lmdb_errors import storage_errors
from pqstore.storage.disk.system_errors import opening
from pqstore.storage.format.catalog import Catalog
from pqstore.storage.format.rebuild_note import REBUILD_NOTE, RebuildNote
from pqstore.storage.format.state import State
from pqstore.storage.rows.schema import Schema
from pqstore.storage.transactions.committed import CommittedRecords
from pqstore.storage.transactions.expiry import set_expiry
from pqstore.storage.transactions.generation import Generation
from pqstore.storage.transactions.open_index import share
from pqstore.storage.transactions.rebuilding_places import hold, place_beside
from pqstore.storage.transactions.row_reads import are_live
from pqstore.storage.transactions.snapshot import Snapshot
from pqstore.storage.transactions.write import WriteTransaction, change
from pqstore.storage.upkeep.maintenance import maintain
from pqstore.storage.upkeep.new_generation import write_generation
from pqstore.storage.upkeep.rebuild_plan import Rebuild, Resumption, identity_of

if TYPE_CHECKING:
    from concurrent.futures import Future

__all__ = ["RebuiltCopy", "begin_copy"]

Result = TypeVar("Result")

_WITH_PAYLOADS = 8192  # rows at once, as payloads may be large
_SEGMENTS_APART = 1024
"""Files of originals have other names than those of the generation before, for whose files a reader would take them: a
compaction keeps names and rows."""


class _Rows(NamedTuple):
    """Rows as they will be stored."""

    ids: npt.NDArray[Any]
    codes: npt.NDArray[Any]
    originals: U8 | None
    payloads: list[Any] | None
    next_row: int
    """The row of the source after them."""


class RebuiltCopy:
    """For a `with` block, at whose end its place is given back.

    It is as durable as any index: what a commit of it says is there after a loss of power too, so that others can go on
    from there.
    """

    def __init__(
        self, index: Path, place: Path, held: BinaryIO, wanted: Rebuild, seen: Snapshot, note: RebuildNote
    ) -> None:
        """`note` says which rows of `seen` the generation in `place` has."""
        self.place = place
        self.generation = directory.generation_path(place, 1)
        self._index = index
        self._held = held
        self._wanted = wanted
        self._seen = seen
        """The state whose rows it has, or gets; later ones are told from it."""
        self._note = note
        self._resumable = bool(note.asked)
        limits = seen.records.generation.limits
        self._block, self._blocks = wanted.block_rows, wanted.commit_blocks
        if seen.catalog.knows_payloads:
            self._block, self._blocks = min(self._block, _WITH_PAYLOADS), 1
        with storage_errors(index), opening(index):
            self._shared = share(place, limits=limits)

    def __enter__(self) -> RebuiltCopy:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        # Who was interrupted, or waited in vain for the last step, may want to go on.
        goes_on = kind is not None and issubclass(kind, (KeyboardInterrupt, IndexLockedError)) and self._resumable
        self._seen.close()
        self.give_up(keep=goes_on)

    def give_up(self, *, keep: bool = False) -> None:
        """Let go of the place, which is removed unless another is to go on there."""
        self._shared.release()
        give_back(self.place, self._held, keep=keep)

    def read(self) -> Snapshot:
        """What it holds."""
        generation, txn, lease = self._shared.begin_read(self.place)
        return Snapshot(CommittedRecords(self._schema_of(generation), generation, txn, txn.id()), lease)

    def _schema_of(self, made: Generation) -> Schema:
        return made.schema(lambda _: self._wanted.packing)

    def _write(self, work: Callable[[WriteTransaction], Result]) -> Result:
        result = change(self._shared, self.place, self._schema_of, work, None, flush=False, after_commit=maintain)
        crash_points.reach("rows rebuilt")
        return result

    @property
    def next_row(self) -> int:
        """All live rows of the source before this one are here."""
        return self._note.next_row

    def remove(self, ids: npt.NDArray[Any]) -> None:
        """Remove rows by id."""
        if len(ids):
            self._write(partial(_remove_ids, ids=ids))

    def fill(self, progress: Progress) -> None:
        """All rows of the state that this was begun with."""
        total = self._seen.live_rows
        with self.read() as there:
            done = there.live_rows
        for count in self._take(self._seen, self._note.next_row):
            done += count
            progress(ProgressStep("encoding", done, total))

    def arrange(self, snapshot: Snapshot) -> None:
        """What else is made of the rows."""
        if self._wanted.arrange is not None:
            self._wanted.arrange(self.place, snapshot)

    def follow(self, snapshot: Snapshot) -> int:
        """Catch up with a later state, which is this one's now; how many rows have come and gone.

        Raises:
            PQStoreError: another process has rebuilt the index.
        """
        changed = self._catch_up(snapshot)
        self.arrange(snapshot)
        self._seen.close()
        self._seen = snapshot
        return changed

    def finish(self, snapshot: Snapshot) -> None:
        """Catch up with the last state, with all that is not rows; then this is whole, durable and closed.

        Raises:
            PQStoreError: another process has rebuilt the index.
        """
        self._catch_up(snapshot)
        with self.read() as there:
            fields = len(there.catalog.fields)
        for field in snapshot.catalog.fields[fields:]:
            self._write(partial(WriteTransaction.declare_field, name=field))
        self._write(partial(self._keep_the_rest, snapshot=snapshot))
        self._shared.settle()

    def _catch_up(self, snapshot: Snapshot) -> int:
        if snapshot.records.schema.identity.created != self._note.source:
            raise PQStoreError(f"index at {self._index}: it was rebuilt meanwhile; nothing was changed by this call")
        changed = 0
        if snapshot.version == self._seen.version:
            return changed
        for rows in self._seen.rows.live_blocks(self._block):
            gone = rows[~are_live(snapshot.records, rows)]
            if len(gone):
                self.remove(self._seen.ids_of(gone))
                changed += len(gone)
        return changed + sum(self._take(snapshot, self._note.next_row))

    def _take(self, snapshot: Snapshot, first: int) -> Iterator[int]:
        """Take over the rows of a state from a row on; how many, commit by commit."""
        wanted = _in_blocks((rows[rows >= first] for rows in snapshot.rows.live_blocks(self._block)), self._block)
        with closing(self._converted(snapshot, wanted)) as converted:
            for first_block in converted:
                blocks = chain([first_block], islice(converted, self._blocks - 1))
                yield self._write(partial(self._append, blocks=blocks))
        # Rows that are dead already need not be looked at again.
        self._note = self._note._replace(next_row=snapshot.records.schema.geometry.next_row(snapshot.records.state))

    def _converted(self, snapshot: Snapshot, blocks: Iterable[I64]) -> Generator[_Rows, None, None]:
        """Rows in their new form; while some are written, and the disk is waited for, another thread may make more."""
        if not self._wanted.ahead:
            yield from (self._convert(snapshot, rows) for rows in blocks)
            return
        from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - it loads logging

        coming: deque[Future[_Rows]] = deque()
        ahead = ThreadPoolExecutor(1, thread_name_prefix="pqstore-rebuilding")
        try:
            for rows in blocks:
                coming.append(ahead.submit(self._convert, snapshot, rows))
                if len(coming) > self._blocks:
                    yield coming.popleft().result()
            while coming:
                yield coming.popleft().result()
        finally:
            ahead.shutdown(cancel_futures=True)

    def _convert(self, snapshot: Snapshot, rows: I64) -> _Rows:
        codes, originals = self._wanted.convert(snapshot, rows)
        payloads = snapshot.payloads_of(rows) if snapshot.catalog.knows_payloads else None
        return _Rows(snapshot.ids_of(rows), codes, originals, payloads, int(rows[-1]) + 1)

    def _append(self, txn: WriteTransaction, blocks: Iterable[_Rows]) -> int:
        count = next_row = 0
        for rows in blocks:
            there = txn.rows_of(rows.ids)  # rows that were rewritten have come with this id already
            txn.kill(there[there >= 0])
            txn.append(rows.codes, rows.ids, rows.originals, rows.payloads)
            count, next_row = count + len(rows.ids), rows.next_row
        txn.set_note(REBUILD_NOTE, self._note._replace(next_row=next_row).packed())
        return count

    def _keep_the_rest(self, txn: WriteTransaction, snapshot: Snapshot) -> None:
        """Notes, saved sets, and numbers that were given once and must not be given again."""
        txn.set_note(REBUILD_NOTE, None)
        for name, note in snapshot.catalog.notes.items():
            if name not in (REBUILD_NOTE, *self._wanted.dropped_notes):
                txn.set_note(name, note)
        for name in snapshot.catalog.sets:
            txn.save_set(name, snapshot.saved_set(name))
        ends = snapshot.records.state.expiry
        set_expiry(txn, None if ends is None else snapshot.catalog.fields[ends])
        txn.come_after(snapshot.version, snapshot.records.state.next_id)


def begin_copy(index: Path, begun: Snapshot, wanted: Rebuild, resumption: Resumption | None) -> RebuiltCopy:
    """A copy without rows, of which this state is the source."""
    records = begun.records
    place = place_beside(index)
    state = State(
        commit=begun.version,
        next_id=records.state.next_id,
        open_segment=records.state.open_segment + _SEGMENTS_APART,
    )
    note = RebuildNote(
        source=records.schema.identity.created,
        began_at=records.schema.geometry.next_row(records.state),
        began_with=records.state.live_rows,
        next_row=0,
        asked={} if resumption is None else resumption.asked,
    )
    held = hold(place)
    try:
        with storage_errors(index), opening(index):  # not what the caller's functions raise
            catalog = Catalog(fields=begun.catalog.fields, notes={REBUILD_NOTE: note.packed()})
            identity, limits = identity_of(records.schema.identity, wanted, catalog.fields), records.generation.limits
            write_generation(directory.generation_path(place, 1), identity, wanted.arrays, catalog, state, limits)
        crash_points.reach("rebuilding begun")
        return RebuiltCopy(index, place, held, wanted, begun, note)
    except BaseException:
        give_back(place, held)
        raise


def give_back(place: Path, held: BinaryIO, *, keep: bool = False) -> None:
    """Let go of a place, which is removed unless another is to go on there."""
    if not keep:
        shutil.rmtree(place, ignore_errors=True)
    held.close()


def _remove_ids(txn: WriteTransaction, ids: Any) -> None:
    rows = txn.rows_of(ids)
    txn.kill(rows[rows >= 0])


def _in_blocks(parts: Iterable[I64], size: int) -> Iterator[I64]:
    """The same rows, so many at a time, however the parts are cut."""
    waiting = np.empty(0, dtype=np.int64)
    for part in parts:
        waiting = np.concatenate((waiting, part))
        while len(waiting) >= size:
            yield waiting[:size]
            waiting = waiting[size:]
    if len(waiting):
        yield waiting
