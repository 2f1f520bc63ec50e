"""Calls in progress on something that another thread may close."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType

from pqstore.errors import IndexClosedError

__all__ = ["Uses"]


class Uses:
    """Counts them, each a `with` block. Closing lets those in progress end, and lets no other begin."""

    __slots__ = ("_close", "_closed", "_count", "_lock")

    def __init__(self, close: Callable[[], None]) -> None:
        """`close` is called once, when nobody uses it any more: by who closes, or by the last user."""
        self._close = close
        self._closed = False
        self._count = 0
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        with self._lock:
            if self._closed:
                raise IndexClosedError("the snapshot is closed")
            self._count += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._count -= 1
            last = self._closed and self._count == 0
        if last:
            self._close()

    def close(self) -> None:
        """Close, now or at the end of the last use; closing twice is allowed."""
        with self._lock:
            last = not self._closed and self._count == 0
            self._closed = True
        if last:
            self._close()
