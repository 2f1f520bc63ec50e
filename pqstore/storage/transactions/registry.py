"""Which indexes are open in this process, found by their directories and counted by their handles."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Generic, TypeVar

__all__ = ["Registry"]

Opened = TypeVar("Opened")


class Registry(Generic[Opened]):
    """`lock` is held by whoever looks an index up, adds, counts or removes one; it comes before that of the index."""

    def __init__(self) -> None:
        self.open: dict[tuple[int, ...], Opened] = {}
        """By device and number of the directory."""
        self.lock = threading.RLock()
        self._later: deque[Callable[[], None]] = deque()

    def later(self, work: Callable[[], None]) -> None:
        """`work` with the lock: now if nobody has it, else by the next who lets go of it.

        For garbage collection, which comes in any thread and at any moment, also while this one or another counts.
        """
        self._later.append(work)
        self.work_off()

    def is_mine(self) -> bool:
        """Whether this thread holds the lock: further up, when a garbage collection or a signal handler asks."""
        return bool(self.lock._is_owned())  # type: ignore[attr-defined]

    def work_off(self) -> None:
        """What could not be done when it was asked for."""
        while self._later and not self.is_mine() and self.lock.acquire(blocking=False):
            try:
                with suppress(IndexError):  # another thread was quicker
                    self._later.popleft()()
            finally:
                self.lock.release()

    def renew_lock(self) -> None:
        """In a forked child: that of the parent may be held by a thread that the child does not have."""
        self.lock = threading.RLock()
