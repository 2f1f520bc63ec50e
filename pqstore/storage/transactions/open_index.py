"""One index, open in this process: every handle on the same directory shares it, by reference count.

LMDB allows one environment a file and process, and its views die with it, so the environment is closed when the last
handle and the last snapshot are gone; a newer generation, or a fork, makes a new one.
"""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import lmdb

from pqstore.errors import ForkedIndexError, PQStoreError, ReadOnlyError
from pqstore.storage.disk.directory import (
    generation_path,
    is_current,
    newest_generation,
    older_generations,
    remove_leftovers,
    sync_directory,
)
from pqstore.storage.disk.environment import Environment
from pqstore.storage.disk.lmdb_errors import storage_errors, translate
from pqstore.storage.disk.writer_lock import WriterLock
from pqstore.storage.format import records
from pqstore.storage.limits import STANDARD, Limits
from pqstore.storage.transactions.faults import Faults
from pqstore.storage.transactions.generation import Generation, mark_superseded
from pqstore.storage.transactions.staging import clear_staged

__all__ = ["Lease", "SharedIndex", "share"]

_FORK_PATIENCE = 2.0  # seconds that a fork waits for transactions of other threads to end

_READER_CHECK_SECONDS = 10.0  # how long the slot of a dead reader may keep old pages from being used again

_registry: dict[tuple[int, int], SharedIndex] = {}
_registry_lock = threading.RLock()


def share(path: Path, *, sync: bool = True, limits: Limits = STANDARD) -> SharedIndex:
    """The shared index at a path, with one reference more. Raises `IndexNotFoundError` when there is none."""
    newest_generation(path)
    stat = path.stat()
    key = (stat.st_dev, stat.st_ino)
    with _registry_lock:
        shared = _registry.get(key)
        if shared is None:
            shared = _registry[key] = SharedIndex(key, path, sync=sync, limits=limits)
        shared.references += 1
        return shared


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
            shared.ended(self)
        finally:
            if self._writer is not None:
                self._writer.release()

    def __del__(self) -> None:
        if getattr(self, "_shared", None) is not None:  # the interrupt may have come within __init__
            self.end()


class SharedIndex:
    """The open generation of an index, its transactions and its writer lock."""

    def __init__(self, key: tuple[int, int], path: Path, *, sync: bool, limits: Limits) -> None:
        self.key = key
        self.path = path
        self.faults = Faults(path)
        self.references = 0
        self._metasync = True
        self._sync = sync
        self._limits = limits
        self._generation: Generation | None = None
        self._inherited: Generation | None = None
        self._cleaned = 0  # the generation beside which what dead writers and compactions have left was removed
        self._readers_checked = 0.0
        self._reset_locks()

    def _reset_locks(self) -> None:
        self._lock = threading.RLock()
        self._gate = threading.Condition(self._lock)  # the same lock: entered by itself it costs half
        self._forking = False
        self.writer = WriterLock()
        self._active: dict[int, tuple[int, Generation]] = {}  # open transactions: (thread, generation)

    def _open(self) -> Generation:
        """The generation to use now. Called with the gate held."""
        while self._forking:
            self._gate.wait()
        if self._inherited is not None:
            raise ForkedIndexError(
                f"index at {self.path}: it had an open snapshot or transaction when this process was forked; "
                "close them before the fork, or start the process with 'spawn' or 'forkserver'"
            )
        if self._generation is None:
            for _ in range(100):
                number = newest_generation(self.path)
                path = generation_path(self.path, number)
                try:
                    generation = Generation(path, self._limits, metasync=self._metasync, sync=self._sync)
                except PQStoreError:
                    if is_current(self.path, number):
                        raise
                    continue  # a compaction in another process removed it meanwhile
                if is_current(self.path, number):
                    self._generation = generation
                    break
                generation.close()
            else:
                raise PQStoreError(f"index at {self.path}: its generations change faster than they can be opened")
        return self._generation

    def retire(self, generation: Generation) -> None:
        """Use another generation from now on; this one is closed when its last transaction ends."""
        with self._gate:
            if self._generation is generation:
                self._generation = None
            self._close_if_idle(generation)

    def _close_if_idle(self, generation: Generation) -> None:
        in_use = generation is self._generation and self.references > 0
        if not in_use and all(used is not generation for _, used in list(self._active.values())):
            if generation is self._generation:
                self._generation = None
            generation.close()

    def begin_read(self) -> tuple[Generation, Any, Lease]:
        """(generation, LMDB's transaction, what to end after it)."""
        lease = Lease(self, None)
        with self._lock:
            generation = self._generation
            if generation is None or self._forking:
                generation = self._open()
            try:
                txn = generation.environment.begin()
            except lmdb.Error as error:
                raise translate(error, self.path) from error
            self._active[id(lease)] = (threading.get_ident(), generation)
        return generation, txn, lease

    def begin_write(self, timeout: float | None = None, *, locked: bool = False) -> tuple[Generation, Any, Lease]:
        """The same for writing; waits for other writers, unless this is called within `writer.run`."""
        if not locked:
            self.check_writable()
            self.writer.refuse_mine(self.path)  # before there is a lease, whose end would end the other one
        lease = Lease(self, None if locked else self.writer)
        try:
            if not locked:
                self.writer.acquire(self.path, timeout)
            with self._gate, storage_errors(self.path):
                generation, txn = self._begin_write()
                self._active[id(lease)] = (threading.get_ident(), generation)
        except BaseException:
            lease.end()
            raise
        return generation, txn, lease

    def _begin_write(self) -> tuple[Generation, Any]:
        """A write transaction in the newest generation, after what dead writers left is cleared away."""
        generation = self._open()
        if not generation.environment.is_newest():
            if is_current(self.path, generation.number):
                generation = self._reopen("its lock file was removed")
            else:
                if generation.path.exists():  # who compacted it has died before it was removed, and perhaps marked
                    with suppress(PQStoreError):  # damaged: no reader of it goes on for long
                        mark_superseded(generation.environment)
                self.retire(generation)
                generation = self._open()
        try:
            txn = self.writer.begin(generation.environment)
        except lmdb.PanicError:
            generation = self._reopen("an earlier commit failed half-way")
            txn = self.writer.begin(generation.environment)
        environment = generation.environment
        if time.monotonic() > self._readers_checked + _READER_CHECK_SECONDS:
            environment.reader_check()
            self._readers_checked = time.monotonic()
        if self._cleaned != generation.number:
            self._clean(generation.number)
            self._cleaned = generation.number
        if txn.get(records.STAGED_KEY, db=environment.databases["meta"]) is not None:
            txn.abort()
            clear_staged(environment)
            txn = self.writer.begin(environment)
        return generation, txn

    def _clean(self, number: int) -> None:
        """Remove generations before this one. Readers that still have one are told, where its compaction has not."""
        for path in older_generations(self.path, number):
            with suppress(PQStoreError, OSError):  # damaged, or open in this process, which has marked it then
                environment = Environment(path, metasync=False, max_readers=self._limits.max_readers)
                try:
                    mark_superseded(environment)
                finally:
                    environment.close()
        remove_leftovers(self.path, number)

    def alone(self, timeout: float | None, work: Callable[[Generation], None]) -> None:
        """`work` with the newest generation, while no other writer may begin; it opens its transactions itself."""
        self.check_writable()

        def locked() -> None:
            generation, txn, lease = self.begin_write(locked=True)
            try:
                txn.abort()
                work(generation)
            finally:
                lease.end()

        self.writer.run(self.path, timeout, locked)

    def _reopen(self, reason: str) -> Generation:
        if self._active:
            raise PQStoreError(f"index at {self.path}: {reason}; close all snapshots, then write again")
        assert self._generation is not None
        self.retire(self._generation)
        return self._open()

    def ended(self, lease: Lease) -> None:
        """A transaction has ended."""
        with self._lock:
            _, generation = self._active.pop(id(lease), (0, None))
            if generation is not None and (generation is not self._generation or self.references == 0):
                self._close_if_idle(generation)
            if self._forking:
                self._gate.notify_all()

    def check_writable(self) -> None:
        """Raise `ReadOnlyError` where nothing can be written."""
        with self._gate:
            if not self._open().environment.writable:
                raise ReadOnlyError(f"index at {self.path}: nothing can be written there; open it with readonly=True")

    def is_newest(self, generation: Generation) -> bool:
        """Whether this generation is the one to use, and the newest."""
        return generation is self._generation and is_current(self.path, generation.number)

    def relax(self) -> None:
        """Do not wait for LMDB's last page at each commit, unless another handle has opened the index before."""
        with self._gate:
            if self._metasync and self.references == 1 and not self._active and self._generation is not None:
                self._metasync = False
                generation, self._generation = self._generation, None
                generation.close()

    def finish_building(self, target: Path) -> None:
        """Everything on the disk, then the index under its own name."""
        with self._gate, storage_errors(self.path):
            if self._active:
                raise PQStoreError(f"index at {self.path}: close its snapshots and transactions before publishing it")
            generation = self._open()
            generation.environment.flush()
            self._generation = None
            generation.close()
            sync_directory(generation.path)
            sync_directory(self.path)
            self.path.rename(target)
            sync_directory(target.parent)
            self.path, self._sync = target, True

    def release(self) -> None:
        """Give one reference back; the generation goes with the last, or with the last snapshot after it."""
        with _registry_lock, self._gate:
            self.references -= 1
            if self.references:
                return
            if self._generation is not None:
                self._close_if_idle(self._generation)
            if not self._active:
                _registry.pop(self.key, None)
                self.writer.close()

    def before_fork(self) -> None:
        """Keep new transactions out, wait a little for those of other threads, and close the environment.

        A child must not even close an environment that it has inherited: that would free the reader slots of its
        parent. So there must be none; both processes open the index again when they next use it. Where a snapshot
        keeps it open, the parent goes on with it and the child is refused.
        """
        self._gate.acquire()
        self._forking = True
        deadline = time.monotonic() + _FORK_PATIENCE
        me = threading.get_ident()
        while Counter(thread == me for thread, _ in self._active.values())[False]:
            if not self._gate.wait(max(0.0, deadline - time.monotonic())) and time.monotonic() >= deadline:
                break
        if not self._active and self._generation is not None:
            generation, self._generation = self._generation, None
            generation.close()

    def after_fork_in_parent(self) -> None:
        self._forking = False
        self._gate.notify_all()
        self._gate.release()

    def after_fork_in_child(self) -> None:
        if self._generation is not None:
            self._inherited, self._generation = self._generation, None
        writer = self.writer
        self._reset_locks()
        writer.close()  # the descriptor; the lock itself stays with the parent


def _before_fork() -> None:
    _registry_lock.acquire()
    for shared in _registry.values():
        shared.before_fork()


def _after_fork_in_parent() -> None:
    for shared in _registry.values():
        shared.after_fork_in_parent()
    _registry_lock.release()


def _after_fork_in_child() -> None:
    global _registry_lock  # noqa: PLW0603 - the lock of the parent may be held by a thread that the child does not have
    _registry_lock = threading.RLock()
    for shared in _registry.values():
        shared.after_fork_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
