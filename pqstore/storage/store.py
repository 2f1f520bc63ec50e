"""The face of the storage: create, open, read, write."""

from __future__ import annotations

import os
import time
import uuid
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, TypeVar

import lmdb
import numpy.typing as npt

from pqstore.errors import (
    IndexNotFoundError,
    IndexReplacedError,
    PQStoreError,
    ReadOnlyError,
    UnlockedIndexWarning,
)
from pqstore.log import slow_since, slow_work
from pqstore.paths import as_path
from pqstore.progress import Progress, no_progress
from pqstore.storage.disk import crash_points, directory
from pqstore.storage.disk.lmdb_errors import storage_errors, translate
from pqstore.storage.disk.system_errors import file_errors
from pqstore.storage.format import records
from pqstore.storage.format.catalog import Catalog, catalog_features
from pqstore.storage.format.state import Identity, IdType, State
from pqstore.storage.limits import STANDARD, Limits
from pqstore.storage.lists.assigning import Assign, Assigner
from pqstore.storage.rows.packing import RowPacking, chunk_rows_for, segment_rows_for
from pqstore.storage.rows.schema import PackingOf, Schema
from pqstore.storage.stats import StoreStats
from pqstore.storage.transactions.committed import CommittedRecords
from pqstore.storage.transactions.generation import Generation
from pqstore.storage.transactions.known_state import KnownState, known_state
from pqstore.storage.transactions.living import Moment, living, microseconds_now
from pqstore.storage.transactions.open_index import SharedIndex, finish_building, share
from pqstore.storage.transactions.reference import Reference
from pqstore.storage.transactions.snapshot import Snapshot
from pqstore.storage.transactions.write import WriteTransaction, begin_write, change
from pqstore.storage.upkeep.backup import backup
from pqstore.storage.upkeep.compaction import compact
from pqstore.storage.upkeep.maintenance import maintain
from pqstore.storage.upkeep.new_generation import write_generation
from pqstore.storage.upkeep.problem import Problem
from pqstore.storage.upkeep.rebuild_plan import Rebuild, Resumption
from pqstore.storage.upkeep.rebuilding import rebuild
from pqstore.storage.upkeep.verify import verify

__all__ = ["Durability", "Store"]

Durability = Literal["full", "relaxed"]
_UNLOCKED = (
    "index at {}: its lock file cannot be written here, so writers do not see this reader: answers are right only as "
    "long as nobody writes to the index (stats().locked tells)"
)
Result = TypeVar("Result")


class Store:
    """A handle on an index directory. Threads may share it; a forked child may go on using it."""

    def __init__(
        self,
        shared: SharedIndex,
        path: Path,
        packing_of: PackingOf,
        *,
        readonly: bool,
        durability: str | None,
        moment: Moment,
    ) -> None:
        self._reference = Reference(shared, path)  # the handle's from here on, also when this fails
        self.readonly = readonly
        self._moment = moment
        self._packing_of = packing_of
        self._assigner: tuple[float, Assigner] | None = None  # and when the generation was created that it is of
        with self._reference.closed_if_it_fails():
            with self.read(as_stored=True) as snapshot:  # the counters agree, or this raises
                self.identity = snapshot.records.schema.identity
                """As it was when this handle was opened: rebuilding changes settings and sizes, nothing else."""
            self.durability = durability or self.identity.durability
            self._flushes = self.durability == "full"
            if self.durability == "relaxed":
                shared.relax()

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        settings: Mapping[str, Any],
        arrays: Mapping[str, npt.NDArray[Any]],
        packing: RowPacking,
        id_type: IdType = "int64",
        durability: Durability = "full",
        *,
        bulk: bool = False,
        segment_rows: int | None = None,
        row_bytes: int = 0,
        fields: Sequence[str] = (),
        expiry: str | None = None,
        features: Sequence[str] = (),
        packing_of: PackingOf | None = None,
        notes: Mapping[str, Any] | None = None,
        limits: Limits = STANDARD,
        moment: Moment = microseconds_now,
    ) -> Store:
        """Make a new index and open it.

        `settings` (what msgpack can hold) and `arrays` come back from every later open. With `bulk` the index is built
        under a temporary name without waiting for the disk; `publish()` makes it durable and gives it its name,
        `close()` without it throws it away. `row_bytes` is the size of the original that every row comes with; 0: rows
        have none. `fields` of payloads get an index; `expiry` is the one of them that says when rows end, by what
        `moment` gives. `features` are named in the identity, `notes` are as `set_note` keeps them. `packing_of` is for
        an index that will be rebuilt. Raises `IndexExistsError`.
        """
        target = as_path(path).absolute()
        directory.check_vacant(target)
        if not target.parent.is_dir():
            raise IndexNotFoundError(f"cannot create {target}: the directory {target.parent} does not exist")
        segment_rows = segment_rows or segment_rows_for(packing)
        identity = Identity(
            uuid=str(uuid.uuid4()),
            id_type=id_type,
            durability=durability,
            segment_rows=segment_rows,
            chunk_rows=min(segment_rows, chunk_rows_for(packing)),
            hash_key=os.urandom(32),
            created=time.time(),
            settings=dict(settings),
            arrays=tuple(arrays),
            row_bytes=row_bytes,
            features=(
                records.NUMBERED_STATES,
                *features,
                *catalog_features(fields),
                *(() if expiry is None else (records.EXPIRY,)),
            ),
        )
        state = State(expiry=None if expiry is None else list(fields).index(expiry))
        with _temporary_for(target) as temporary:
            with storage_errors(target):
                first, catalog = (
                    directory.generation_path(temporary, 1),
                    Catalog(fields=tuple(fields), notes=notes or {}),
                )
                write_generation(first, identity, arrays, catalog, state, limits)
            crash_points.reach("index created under a temporary name")
            if bulk:
                shared = share(temporary, sync=False, limits=limits)
                known = packing_of or (lambda _: packing)
                store = cls(shared, temporary, known, readonly=False, durability=None, moment=moment)
                store._reference.to_publish = target
                return store
            directory.put_in_place(temporary, target)
        return cls.open(target, packing_of or (lambda _: packing), limits=limits, moment=moment)

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        packing_of: PackingOf,
        readonly: bool = False,
        durability: Durability | None = None,
        limits: Limits = STANDARD,
        moment: Moment = microseconds_now,
    ) -> Store:
        """Open an index; `durability` None means what it was created with. `moment` says when rows have ended.

        Raises `IndexNotFoundError`, `CorruptIndexError`, `FormatVersionError` or `ReadOnlyError`.
        """
        absolute = as_path(path).absolute()
        shared = share(absolute, limits=limits)
        store = cls(shared, absolute, packing_of, readonly=readonly, durability=durability, moment=moment)
        with store._reference.closed_if_it_fails():
            if not readonly:
                shared.check_writable(absolute)
            with store.read(as_stored=True) as snapshot:
                locked = snapshot.records.generation.environment.locked
            if not locked:
                warnings.warn(_UNLOCKED.format(absolute), UnlockedIndexWarning, stacklevel=3)
        return store

    def publish(self) -> None:
        """Make an index that was created with `bulk` durable, and give it its name."""
        shared = self._reference.shared()
        target = self._reference.to_publish
        if target is None:
            return
        directory.check_vacant(target)
        finish_building(shared, target)
        self._reference.path, self._reference.to_publish = target, None

    @property
    def path(self) -> Path:
        """The directory."""
        return self._reference.path

    @property
    def closed(self) -> bool:
        return self._reference.closed

    def close(self) -> None:
        """Let go of the index. Snapshots that are still open stay good."""
        self._reference.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Store {str(self.path)!r}{' closed' if self.closed else ' readonly' if self.readonly else ''}>"

    def read(self, *, as_stored: bool = False) -> Snapshot:
        """A snapshot of the newest commit, of the moment of this call: rows that have ended by then are dead in it.
        Close it (it is a context manager).

        Where it is about records, whoever may see them, they are read `as_stored`: with the rows that have ended.
        """
        shared = self._reference.shared()
        while True:
            try:
                generation, txn, lease = shared.begin_read(self.path)
            except IndexReplacedError as error:
                self._reference.let_go(error)
                raise
            try:
                schema = self._schema_of(generation)
                state = CommittedRecords(schema, generation, txn, txn.id())
                if state.state.expiry is not None and not as_stored:
                    state = living(state, self._moment())
                snapshot = Snapshot(state, lease)
            except BaseException as error:
                txn.abort()
                lease.end()
                if isinstance(error, lmdb.Error):
                    raise translate(error, self.path) from error
                raise
            if not snapshot.records.state.superseded or shared.is_newest(generation):
                return snapshot
            snapshot.close()
            shared.retire(generation)

    def known(self, snapshot: Snapshot) -> KnownState | None:
        """The state of a snapshot, for compiled code to read it again while it is the newest; None: it cannot."""
        return known_state(self._reference, snapshot)

    def write(self, timeout: float | None = None) -> WriteTransaction:
        """A write transaction, for a `with` block: commits at its end, durably, and undoes everything on an exception.

        Waits up to `timeout` seconds (None: 60) for another writer, then raises `IndexLockedError`. An interrupt at the
        very edge of the block leaves the lock held until the transaction is garbage; `change` does not.
        """
        shared = self._writable_share()
        flush, schema_of = self._flushes, self._schema_of
        with self._reference.letting_go():
            return begin_write(
                shared, self.path, schema_of, timeout, flush=flush, after_commit=_maintain, moment=self._moment
            )

    def change(self, work: Callable[[WriteTransaction], Result], timeout: float | None = None) -> Result:
        """What `work` returns, when its changes are committed, durably, in one transaction; as `write`, but whatever
        interrupts come, and whenever, other writers can go on."""
        shared = self._writable_share()
        flush, schema_of = self._flushes, self._schema_of
        try:  # as `letting_go`, which costs each change more
            return change(
                shared, self.path, schema_of, work, timeout, flush=flush, after_commit=_maintain, moment=self._moment
            )
        except IndexReplacedError as error:
            self._reference.let_go(error)
            raise

    @property
    def is_building(self) -> bool:
        """Whether it is made with `bulk` and has no name yet, so that nobody else waits for it."""
        return self._reference.to_publish is not None

    def _writable_share(self) -> SharedIndex:
        shared = self._reference.shared()
        if self.readonly:
            raise ReadOnlyError(f"the index at {self.path} was opened with readonly=True")
        return shared

    def assign_with(self, assign: Assign, created: float | None = None) -> None:
        """Who says to which partitions rows belong, from now on: rows get into lists by it as segments are sealed.

        It knows the codes of the generation that was created then (None: of the newest) and of its compactions; rows in
        other codes wait until somebody comes who knows these.
        """
        with self.read(as_stored=True) as snapshot:
            schema = snapshot.records.schema
            self._assigner = schema.identity.created if created is None else created, Assigner(assign)
            if self._assigner[0] == schema.identity.created:
                schema.assigner = self._assigner[1]

    def _schema_of(self, generation: Generation) -> Schema:
        schema = generation.schema(self._packing_of)
        if schema.assigner is None and self._assigner is not None and self._assigner[0] == schema.identity.created:
            schema.assigner = self._assigner[1]
        return schema

    def verify(self, deep: bool = False, *, progress: Progress = no_progress) -> list[Problem]:
        """Check every invariant of docs/format.md; the problems found, empty when the index is sound.

        Reads every record and looks up some ids of every segment; `deep` looks up all of them and walks LMDB's pages.
        """
        with self.read(as_stored=True) as snapshot:
            return verify(snapshot, deep=deep, progress=progress)

    def compact(self, timeout: float | None = None, *, progress: Progress = no_progress) -> None:
        """Give the space of dead rows and old records back to the disk.

        Works in several transactions, then holds other writers off while it copies what is left to a new generation and
        switches to it. Snapshots go on with the old one, whose space the disk gets back when the last of them ends.
        """
        shared = self._writable_share()
        with slow_work("compact", self.path), self._reference.letting_go():
            compact(
                shared,
                self.path,
                self._schema_of,
                timeout,
                flush=self._flushes,
                moment=self._moment,
                progress=progress,
            )

    def rebuild(
        self,
        plan: Callable[[Snapshot], Rebuild],
        timeout: float | None = None,
        *,
        resumption: Resumption | None = None,
        progress: Progress = no_progress,
    ) -> None:
        """Put all rows into codes of another kind, as a new generation: one step for readers and writers, who go on
        meanwhile. `plan` is called with the state to begin with; what it raises leaves the index as it was.

        With `resumption` a process that dies leaves what it has made of the rows to the next that asks for the same.
        Raises `PQStoreError` when another process has rebuilt the index meanwhile.
        """
        shared = self._writable_share()
        with slow_work("rebuild", self.path), self._reference.letting_go():
            rebuild(
                shared, self.path, self.read, self._schema_of, plan, timeout, resumption=resumption, progress=progress
            )

    def attempt(self, work: str, call: Callable[[], object]) -> None:
        """Work that the index does by itself after a commit: what fails is kept with its faults, and it rests then for
        some commits."""
        faults = self._reference.shared().faults
        if not faults.is_resting(work):
            with faults.kept(work):
                call()

    def backup(self, path: str | os.PathLike[str], *, progress: Progress = no_progress) -> None:
        """A compacted copy of the newest commit, as an index of its own, while readers and writers go on.

        Raises `IndexExistsError` when there is something at `path`.
        """
        target = as_path(path).absolute()
        directory.check_vacant(target)
        failed = None
        while True:
            with self.read(as_stored=True) as snapshot:
                generation = snapshot.records.generation.number
                try:
                    return backup(snapshot, target, progress)
                except PQStoreError:
                    # A compaction in another process may remove files of originals before they are taken hold of; then
                    # there is another generation to be tried.
                    if generation == failed:
                        raise
                    failed = generation

    def stats(self) -> StoreStats:
        """Counts and sizes."""
        with self.read() as snapshot:
            generation, state = snapshot.records.generation, snapshot.records.state
            environment = generation.environment
            used, free, page = environment.page_counts(snapshot.records.txn)
            oldest, readers = environment.readers.lag()
            return StoreStats(
                live_rows=snapshot.live_rows,
                dead_rows=snapshot.total_rows - snapshot.live_rows,
                ended_rows=snapshot.records.cached.ended_rows,
                segments=len(snapshot.records.table),
                tail_rows=state.tail_rows,
                segment_rows=snapshot.records.schema.geometry.segment_rows,
                id_ranges=len(state.ranges),
                id_runs=len(state.runs),
                id_run_entries=sum(info.entries for info in state.runs),
                file_bytes=environment.file_bytes,
                used_bytes=used * page,
                free_bytes=free * page,
                readers=readers - 1,  # not this one
                oldest_reader_lag=oldest,
                pinned_bytes=environment.pinned_bytes(),
                format_version=records.FORMAT_VERSION,
                durability=self.durability,
                uuid=self.identity.uuid,
                originals_bytes=generation.originals.file_bytes(),
                locked=environment.locked,
                generation=generation.number,
                commits=state.commit,
                faults=self._reference.shared().faults.texts,
            )


def _maintain(done: WriteTransaction) -> None:
    started = time.monotonic()
    maintain(done)
    slow_since(started, "maintenance after a commit", done.records.generation.index)


@contextmanager
def _temporary_for(target: Path) -> Iterator[Path]:
    """A place for a new index, empty again when the block fails."""
    with file_errors(target), directory.unfinished_index(target) as temporary:
        yield temporary
