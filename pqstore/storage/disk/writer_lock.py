"""The writer lock: one writer an index, between threads and processes, with a timeout."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from pqstore.errors import IndexLockedError, PQStoreError
from pqstore.log import slow_since
from pqstore.storage.disk.regular_file import create_like, file_identity, open_regular
from pqstore.storage.disk.system_errors import REFUSED, not_writable, opening

try:
    import fcntl
except ImportError:  # elsewhere LMDB's own lock keeps writers apart, without a timeout between processes
    fcntl = None  # type: ignore[assignment]

__all__ = ["DEFAULT_TIMEOUT", "WriterLock"]

DEFAULT_TIMEOUT = 60.0
_NAME = "writer.lock"
_WRITER, _TURN = 0, 1  # bytes of the file that are locked
_WAIT = "waiting for another writer"
_PAUSE = 0.002  # seconds between two looks at a lock that another process has

Result = TypeVar("Result")
_nothing: Callable[[], Any] = bool  # a call into C that does nothing


class WriterLock:
    """Lock of one process's handles of an index.

    The lock between processes is a POSIX record lock: it does not pass to a forked child and ends with the process.
    It would also end when the process closed any other descriptor of the file, so there is only this one.
    """

    def __init__(self) -> None:
        # A lock that knows its owner: an interrupt may come between taking it and our noticing.
        self._thread_lock = threading.RLock()
        self._descriptor: int | None = None
        self._locked: tuple[int, int] | None = None  # which file that is
        self._unlock: Callable[[], Any] = _nothing
        self.abort: Callable[[], Any] = _nothing
        """Ends the transaction of LMDB that the writer has open."""

    def run(self, index: Path, timeout: float | None, work: Callable[[], Result]) -> Result:
        """`work()` as the writer. The lock is free after it, however many interrupts come, and whenever; so is that of
        LMDB's transaction, where `begin` began it.

        By construction: Python raises an interrupt where a function of its own is entered, at a jump back, and after a
        call. So the first call of a `finally` block is always made when it goes into C at once, and each of the three
        has a block of its own.

        Raises:
            IndexLockedError: another had the lock for `timeout` seconds (None: 60).
        """
        timeout = DEFAULT_TIMEOUT if timeout is None else timeout
        started = time.monotonic()
        deadline = started + timeout
        self.refuse_mine(index)
        try:
            if not self._thread_lock.acquire(timeout=min(max(0.0, timeout), threading.TIMEOUT_MAX)):
                raise _locked_by_a_thread(index, timeout)
            self.abort = _nothing
            try:
                self._lock_file(index, deadline, timeout)
                try:
                    slow_since(started, _WAIT, index)
                    return work()
                finally:
                    self.abort()
            finally:
                self._unlock()
        finally:
            try:  # noqa: SIM105 - to enter `suppress` would be a call before the one that counts
                self._thread_lock.release()
            except RuntimeError:  # it was never taken
                pass

    def begin(self, environment: Any) -> Any:
        """A write transaction of LMDB, which `abort` ends from now on."""
        txn = environment.begin(write=True)
        self.abort = txn.abort  # no call in between, so no interrupt
        return txn

    def acquire(self, index: Path, timeout: float | None) -> None:
        """Wait until this thread is the writer; `IndexLockedError` after `timeout` seconds (None: 60).

        For a block that its caller ends with `release`. `run` needs no such promise.
        """
        timeout = DEFAULT_TIMEOUT if timeout is None else timeout
        started = time.monotonic()
        deadline = started + timeout
        self.refuse_mine(index)
        try:
            if not self._thread_lock.acquire(timeout=min(max(0.0, timeout), threading.TIMEOUT_MAX)):
                raise _locked_by_a_thread(index, timeout)  # noqa: TRY301 - given back in one place
            self._lock_file(index, deadline, timeout)
            slow_since(started, _WAIT, index)
        except BaseException:
            self.release()
            raise

    def is_mine(self) -> bool:
        """Whether this thread holds the lock."""
        return bool(self._thread_lock._is_owned())  # type: ignore[attr-defined]

    def refuse_mine(self, index: Path) -> None:
        """Raise `PQStoreError` where this thread is the writer already."""
        if self.is_mine():
            raise PQStoreError(f"index at {index}: this thread is inside a write transaction already")

    def _lock_file(self, index: Path, deadline: float, timeout: float) -> None:
        if fcntl is None:
            return
        path = f"{index}/{_NAME}"  # at each commit: a Path costs as much as the look at it
        with opening(index):
            while True:
                if self._descriptor is None:
                    descriptor = _opened(Path(path))
                    unlock = partial(fcntl.lockf, descriptor, fcntl.LOCK_UN, 1, _WRITER)
                    locked = _identity(os.fstat(descriptor))
                    # No call in between, so no interrupt.
                    self._descriptor, self._unlock, self._locked = descriptor, unlock, locked
                self._wait(index, deadline, timeout)
                if self._locked == file_identity(path):
                    return
                self.close()  # removed or replaced meanwhile: other processes lock what is there now

    def _wait(self, index: Path, deadline: float, timeout: float) -> None:
        # Whoever waits for the writer has the turn. A writer that comes back needs it too, so it cannot overtake.
        try:
            for byte in (_TURN, _WRITER):
                while not self._try(byte):
                    if time.monotonic() >= deadline:
                        raise IndexLockedError(
                            f"index at {index}: another process has been writing for {timeout:g} s; try again later"
                        )
                    time.sleep(_PAUSE)
        finally:
            assert self._descriptor is not None
            fcntl.lockf(self._descriptor, fcntl.LOCK_UN, 1, _TURN)

    def _try(self, byte: int) -> bool:
        """Lock a byte of the file if no other process has it."""
        assert self._descriptor is not None
        try:
            fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, byte)
        except (BlockingIOError, PermissionError):
            return False
        return True

    def release(self) -> None:
        """Let the next writer in, if this thread holds the lock."""
        if not self.is_mine():
            return
        try:
            self._unlock()
        finally:
            self._thread_lock.release()

    def close(self) -> None:
        """Give the descriptor back. What goes on in a forked child then ends nothing of its parent."""
        self._unlock = self.abort = _nothing
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


def _locked_by_a_thread(index: Path, timeout: float) -> IndexLockedError:
    return IndexLockedError(f"index at {index}: another thread has been writing for {timeout:g} s; try again later")


def _opened(path: Path) -> int:
    """A descriptor of the file, which is made when it is missing."""
    try:
        try:
            return open_regular(path, os.O_RDWR)
        except FileNotFoundError:
            return create_like(path, path.parent)
    except OSError as error:
        if error.errno in REFUSED:
            raise not_writable(f"index at {path.parent}", error) from error
        raise


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino
