"""One index, open in this process: every handle on the same directory shares it, by reference count.

LMDB allows one environment a file and process, and its views die with it, so the environment is closed when the last
handle and the last snapshot are gone; a newer generation, or a fork, makes a new one.
"""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import lmdb

from pqstore.errors import ForkedIndexError, IndexNotFoundError, IndexReplacedError, PQStoreError, ReadOnlyError
from pqstore.storage.disk.directory import (
    generation_path,
    is_current,
    newest_generation,
    put_in_place,
    sync_directory,
)
from pqstore.storage.disk.held_directory import HeldDirectory
from pqstore.storage.disk.lmdb_errors import storage_errors, translate
from pqstore.storage.disk.system_errors import opening
from pqstore.storage.disk.writer_lock import WriterLock
from pqstore.storage.format import records
from pqstore.storage.limits import STANDARD, Limits
from pqstore.storage.transactions.faults import Faults
from pqstore.storage.transactions.generation import Generation, mark_superseded
from pqstore.storage.transactions.leftovers import clear_older
from pqstore.storage.transactions.place import Place
from pqstore.storage.transactions.registry import Registry
from pqstore.storage.transactions.staging import clear_staged

__all__ = ["Lease", "SharedIndex", "alone", "finish_building", "share"]

_PATIENCE = 2.0  # seconds that a fork, or a map that could be larger, waits for transactions of other threads to end
_LONG_PATIENCE = 30.0  # the same of a map that must be larger
_CRAMPED_SECONDS = 30.0  # after which a map that could be larger is tried again

_READER_CHECK_SECONDS = 10.0  # how long the slot of a dead reader may keep old pages from being used again

_registry: Registry[SharedIndex] = Registry()


def share(path: Path, *, sync: bool = True, limits: Limits = STANDARD) -> SharedIndex:
    """The shared index at a path, with one reference more. Raises `IndexNotFoundError` when there is none."""
    newest_generation(path)
    directory = HeldDirectory(path)
    try:
        with _registry.lock:
            shared, writer = _registry.open.get(directory.key), None
            if shared is not None and not shared.is_still_at(path):
                writer, shared = _displace(shared), None
            if shared is None:
                shared = SharedIndex(directory, path, sync=sync, limits=limits, writer=writer)
                _registry.open[directory.key] = shared
            shared.references += 1
            return shared
    finally:
        if shared is None or shared.place.directory is not directory:
            directory.close()
        _registry.work_off()


def _displace(shared: SharedIndex) -> WriterLock:
    """Make room for another index that was put into the directory of this one, whose writer lock it gets."""
    writer = shared.give_way()
    del _registry.open[shared.key]
    shared.key = (*shared.key, id(shared))
    _registry.open[shared.key] = shared
    return writer


def _key_of(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_dev, stat.st_ino


class Lease:
    """The right to one transaction. Ends when told to, or when it is lost: an interrupt may come at any moment."""

    __slots__ = ("_shared", "_writer", "pid")

    def __init__(self, shared: SharedIndex, writer: WriterLock | None) -> None:
        self._writer = writer
        self.pid = os.getpid()
        self._shared: SharedIndex | None = shared

    def end(self) -> None:
        """LMDB's transaction is over; called again it does nothing."""
        shared, self._shared = self._shared, None
        if shared is None or self.pid != os.getpid():
            return
        try:
            shared.ended(id(self))
        finally:
            if self._writer is not None:
                self._writer.release()

    def __del__(self) -> None:
        if getattr(self, "_shared", None) is not None:  # the interrupt may have come within __init__
            self.end()


def _uses(active: Mapping[int, tuple[int, Generation]], generation: Generation) -> bool:
    """Whether a transaction of it is open."""
    return any(used is generation for _, used in list(active.values()))


class SharedIndex:
    """The open generation of an index, its transactions and its writer lock."""

    def __init__(
        self, directory: HeldDirectory, path: Path, *, sync: bool, limits: Limits, writer: WriterLock | None = None
    ) -> None:
        self.key: tuple[int, ...] = directory.key
        self.path = path
        self.faults = Faults(path)
        self.place = Place(directory)
        self.references = 0
        self._metasync = True
        self._sync = sync
        self._limits = limits
        self._generation: Generation | None = None
        self._inherited: Generation | None = None
        self._cleaned = 0  # the generation beside which what dead writers and compactions have left was removed
        self._readers_checked = 0.0
        self._cramped_until = 0.0
        self._reset_locks(writer)

    def _reset_locks(self, writer: WriterLock | None = None) -> None:
        self._lock = threading.RLock()
        self.gate = threading.Condition(self._lock)  # the same lock: entered by itself it costs half
        self._forking = False
        self._outgrown: Generation | None = None  # waits for its transactions to end, to be opened again
        self.writer = writer or WriterLock()
        # Open transactions, by the address of what ends them: (thread, generation).
        self._active: dict[int, tuple[int, Generation]] = {}
        self._closing: set[int] = set()  # numbers of generations that are being closed without the lock

    def is_still_at(self, path: Path) -> bool:
        """Whether the directory, to which `path` leads, still holds this index: another may have been put into it."""
        with self.gate:
            if self._inherited is not None:
                return True  # not to be looked at in this process
            try:
                self._go_by(path)
                generation = self._open(path)
                if not generation.environment.keeps_its_data_file():
                    self.retire(generation)
                    generation = self._open(path)
            except IndexReplacedError:
                return False
            generation, txn, lease = self.begin_read(path)
            try:
                with storage_errors(path), txn:
                    return generation.is_still(txn, writing=False)
            finally:
                lease.end()

    def give_way(self) -> WriterLock:
        """Another index lies in the directory now: every call to this one raises from here on.

        Gives the writer lock, of which a process can have one only.
        """
        with self.gate:
            generation = self._generation
            if generation is not None:
                if _uses(self._active, generation):
                    raise IndexReplacedError(
                        f"index at {self.path}: its data file was overwritten while snapshots of it are open; close "
                        "them, then open it anew"
                    )
                self.retire(generation)
            self.place.taken = True
            return self.writer

    def _open(self, path: Path) -> Generation:
        """The generation to use now. Called with the gate held."""
        while self._forking or self._outgrown is not None:
            self.gate.wait()
        if self._inherited is not None:
            raise ForkedIndexError(
                f"index at {self.path}: it had an open snapshot or transaction when this process was forked; "
                "close them before the fork, or start the process with 'spawn' or 'forkserver'"
            )
        if self._generation is None:
            with opening(path):
                self._go_by(path)
                self._generation = self.place.open_newest(path, self._limits, metasync=self._metasync, sync=self._sync)
        return self._generation

    def _go_by(self, path: Path) -> None:
        """Find the index at this path from now on. Raises `IndexReplacedError` when it does not lead to it."""
        self.place.check(path)
        if path is not self.path and path != self.path:
            self.path = self.faults.index = path
            if self._generation is not None:
                self._generation.rename(generation_path(path, self._generation.number))

    def retire(self, generation: Generation) -> None:
        """Use another generation from now on; this one is closed when its last transaction ends."""
        with self.gate:
            if self._generation is generation:
                self._generation = None
            self._close_if_idle(generation)

    def _close_if_idle(self, generation: Generation) -> None:
        needed = generation is self._generation and self.references > 0
        if not needed and not _uses(self._active, generation):
            if generation is self._generation:
                self._generation = None
            generation.close()

    def begin_read(self, path: Path) -> tuple[Generation, Any, Lease]:
        """(generation, LMDB's transaction, what to end after it). `path` is where the caller found the index."""
        lease = Lease(self, None)
        with self._lock:
            generation = self._generation
            if generation is None or self._forking:
                generation = self._open(path)
            try:
                txn = generation.environment.begin()
            except lmdb.MapResizedError:  # another process has made the file larger than it is mapped here
                with storage_errors(path):
                    generation = self._with_more_room(generation, path, _LONG_PATIENCE)
                    txn = generation.environment.begin()
            except lmdb.Error as error:
                raise translate(error, path) from error
            self._active[id(lease)] = (threading.get_ident(), generation)
        return generation, txn, lease

    def begin_write(
        self, path: Path, timeout: float | None = None, *, locked: bool = False
    ) -> tuple[Generation, Any, Lease]:
        """The same for writing; waits for other writers, unless this is called within `writer.run`."""
        if not locked:
            self.check_writable(path)
            self.writer.refuse_mine(path)  # before there is a lease, whose end would end the other one
        lease = Lease(self, None if locked else self.writer)
        try:
            if not locked:
                self.writer.acquire(path, timeout)
            with self.gate, storage_errors(path), opening(path):
                generation, txn = self._begin_write(path)
                self._active[id(lease)] = (threading.get_ident(), generation)
        except IndexNotFoundError:
            lease.end()
            raise self.place.replaced(path) from None
        except BaseException:
            lease.end()
            raise
        return generation, txn, lease

    def _begin_write(self, path: Path) -> tuple[Generation, Any]:
        """A write transaction in the newest generation, after what dead writers left is cleared away."""
        self._go_by(path)
        generation = self._open(path)
        if not generation.environment.is_newest():
            generation = self._follow(generation, path)
        if generation.environment.is_cramped() and (not self._active or time.monotonic() > self._cramped_until):
            generation = self._with_more_room(generation, path, _PATIENCE)
        try:
            txn = self.writer.begin(generation.environment)
        except lmdb.MapResizedError:
            generation = self._with_more_room(generation, path, _LONG_PATIENCE)
            txn = self.writer.begin(generation.environment)
        except lmdb.PanicError:
            generation = self._reopen(path, "an earlier commit failed half-way")
            txn = self.writer.begin(generation.environment)
        if not generation.is_still(txn, writing=True):
            txn.abort()
            self.retire(generation)
            raise self.place.replaced(path)
        environment = generation.environment
        if time.monotonic() > self._readers_checked + _READER_CHECK_SECONDS:
            environment.readers.clear()
            self._readers_checked = time.monotonic()
        if self._cleaned != generation.number:
            used = self._closing | {generation.number for _, generation in list(self._active.values())}
            clear_older(path, generation.number, used, self._limits)
            self._cleaned = generation.number
        if txn.get(records.STAGED_KEY, db=environment.databases["meta"]) is not None:
            txn.abort()
            clear_staged(environment)
            txn = self.writer.begin(environment)
        return generation, txn

    def _follow(self, generation: Generation, path: Path) -> Generation:
        """The generation to write to when this one seems no longer to be it."""
        environment = generation.environment
        if environment.keeps_its_data_file():
            if is_current(path, generation.number):
                if environment.keeps_its_lock_file():
                    return generation  # what lies beside it only has the name of a generation
                return self._reopen(path, "its lock file was removed")
            # Who compacted it has died before it was removed, and perhaps marked.
            with suppress(PQStoreError):  # damaged: no reader of it goes on for long
                mark_superseded(environment)
        self.retire(generation)
        return self._open(path)

    def _reopen(self, path: Path, reason: str) -> Generation:
        if self._active:
            raise PQStoreError(f"index at {path}: {reason}; close all snapshots, then write again")
        assert self._generation is not None
        self.retire(self._generation)
        return self._open(path)

    def _with_more_room(self, generation: Generation, path: Path, patience: float) -> Generation:
        """Opened again, with the map that its file needs now; as it is, when its transactions do not end soon.

        A map must not be replaced while something is read through it. New transactions wait for those of other threads,
        so many seconds; called with the gate held.
        """
        me, deadline = threading.get_ident(), time.monotonic() + patience
        self._generation, self._outgrown = None, generation
        try:
            while _uses(self._active, generation) and (me, generation) not in self._active.values():
                if not self.gate.wait(max(0.0, deadline - time.monotonic())) and time.monotonic() >= deadline:
                    break
        finally:
            self._outgrown = None
            if _uses(self._active, generation):
                self._generation = generation
                self._cramped_until = time.monotonic() + _CRAMPED_SECONDS
            else:
                generation.close()
            self.gate.notify_all()
        return self._open(path)

    def ended(self, key: int) -> None:
        """A transaction has ended, that of a lease or of a `known` state."""
        gone = None
        with self._lock:
            _, generation = self._active.pop(key, (0, None))
            if generation is not None and (generation is not self._generation or self.references == 0):
                if generation.superseded and not _uses(self._active, generation):
                    gone = generation
                    self._closing.add(gone.number)
                else:
                    self._close_if_idle(generation)
            if self._forking or self._outgrown is not None:
                self.gate.notify_all()
        if gone is not None:  # without the lock: it takes the system long to give back a large file that has no name
            gone.close()
            self._closing.discard(gone.number)
        # This may run at any moment, also while another thread has the lock of all indexes and waits for ours.
        if self.references == 0:
            _registry.later(partial(self._give_back, references=0))

    def check_writable(self, path: Path) -> None:
        """Raise `ReadOnlyError` where nothing can be written. Who becomes the writer looks at the path again."""
        with self.gate:
            refusal = self._open(path).environment.refusal
        if refusal:
            raise ReadOnlyError(f"index at {path}: {refusal}; or open it with readonly=True")

    def is_newest(self, generation: Generation) -> bool:
        """Whether this generation is the one to use, and the newest."""
        return (
            generation is self._generation
            and generation.environment.keeps_its_data_file()
            and is_current(self.path, generation.number)
        )

    def relax(self) -> None:
        """Do not wait for LMDB's last page at each commit, unless another handle has opened the index before."""
        with self.gate:
            if self._metasync and self.references == 1 and not self._active and self._generation is not None:
                self._metasync = False
                generation, self._generation = self._generation, None
                generation.close()

    def settle(self) -> None:
        """Everything on the disk, and the generation closed until it is next used."""
        with self.gate, storage_errors(self.path):
            if self._active:
                raise PQStoreError(f"index at {self.path}: close its snapshots and transactions before publishing it")
            generation = self._open(self.path)
            generation.environment.flush()
            self._generation = None
            generation.close()
            sync_directory(generation.path)
            sync_directory(self.path)

    def moved_to(self, path: Path) -> None:
        """The index lies at this path now, and is durable from now on. Called with both locks held.

        Other handles find it by its directory: not the one that it was built in where another was there already.
        """
        self._sync = True
        self.place.move_to(path)
        del _registry.open[self.key]
        former = _registry.open.get(self.place.directory.key)
        if former is not None:
            self.writer = _displace(former)
        self.path = self.faults.index = path
        self.key = self.place.directory.key
        _registry.open[self.key] = self

    def release(self, *, at_any_moment: bool = False) -> None:
        """Give one reference back; the generation goes with the last, or with the last snapshot after it.

        `at_any_moment`: that of a handle that is garbage; it may be given back a little later.
        """
        if at_any_moment or _registry.is_mine():  # a signal handler may come at any moment too
            _registry.later(self._give_back)
            return
        with _registry.lock:
            self._give_back()
        _registry.work_off()

    def _give_back(self, references: int = 1) -> None:
        """References, and with the last handle and the last transaction what is kept for them."""
        with self.gate:
            self.references -= references
            if self.references:
                return
            if self._generation is not None:
                self._close_if_idle(self._generation)
            if self._active or _registry.open.get(self.key) is not self:
                return
            del _registry.open[self.key]
            self.place.close()
            if not self.place.taken:  # otherwise the index that took this one's place has the lock
                self.writer.close()

    def before_fork(self) -> None:
        """Keep new transactions out, wait a little for those of other threads, and close the environment.

        A child must not even close an environment that it has inherited: that would free the reader slots of its
        parent. So there must be none; both processes open the index again when they next use it. Where a snapshot
        keeps it open, the parent goes on with it and the child is refused.
        """
        self.gate.acquire()
        self._forking = True
        deadline = time.monotonic() + _PATIENCE
        me = threading.get_ident()
        while Counter(thread == me for thread, _ in self._active.values())[False]:
            if not self.gate.wait(max(0.0, deadline - time.monotonic())) and time.monotonic() >= deadline:
                break
        generation = self._generation or self._outgrown
        if not self._active and generation is not None:
            self._generation = self._outgrown = None
            generation.close()

    def after_fork_in_parent(self) -> None:
        self._forking = False
        self.gate.notify_all()
        self.gate.release()

    def after_fork_in_child(self) -> None:
        inherited = self._generation or self._outgrown
        if inherited is not None:
            self._inherited, self._generation = inherited, None
        writer = self.writer
        self._reset_locks()
        writer.close()  # the descriptor; the lock itself stays with the parent


def finish_building(shared: SharedIndex, target: Path) -> None:
    """Everything on the disk, then the index under its own name."""
    with _registry.lock, shared.gate, storage_errors(shared.path):
        shared.settle()
        put_in_place(shared.path, target)
        shared.moved_to(target)


def alone(shared: SharedIndex, path: Path, timeout: float | None, work: Callable[[Generation], None]) -> None:
    """`work` with the newest generation, while no other writer may begin; it opens its transactions itself."""
    shared.check_writable(path)

    def locked() -> None:
        generation, txn, lease = shared.begin_write(path, locked=True)
        try:
            txn.abort()
            work(generation)
        finally:
            lease.end()

    try:
        shared.writer.run(path, timeout, locked)
    except IndexNotFoundError:
        shared.place.check(path)
        raise


def _before_fork() -> None:
    _registry.lock.acquire()
    for shared in _registry.open.values():
        shared.before_fork()


def _after_fork_in_parent() -> None:
    for shared in _registry.open.values():
        shared.after_fork_in_parent()
    _registry.lock.release()


def _after_fork_in_child() -> None:
    _registry.renew_lock()
    for shared in _registry.open.values():
        shared.after_fork_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
