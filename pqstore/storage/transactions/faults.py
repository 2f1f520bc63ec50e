"""What fails after a commit: the change stands, so its call succeeds, and the fault is kept and told."""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from pqstore.errors import StorageFullError
from pqstore.log import warning

__all__ = ["Faults"]

_KEPT = 16
_LONGEST_REST = 256  # commits


class Faults:
    """Those of one index in this process.

    An interrupt is no fault: it goes on to the caller, who cannot know from it whether the call has happened.
    """

    def __init__(self, index: Path) -> None:
        self.index = index
        self._kept: deque[str] = deque(maxlen=_KEPT)
        self._resting: dict[str, int] = {}  # commits that some work still lets pass, after it has failed
        self.has_failed: dict[str, int] = {}
        """What has failed the last time, and how often, one time after another."""

    @property
    def texts(self) -> tuple[str, ...]:
        """The last of them, the newest at the end."""
        return tuple(self._kept)

    def kept(self, work: str) -> _Keeping:
        """For a `with` block that runs after a commit: an exception in it is kept here, and goes no further."""
        return _Keeping(self, work)

    def is_resting(self, work: str) -> bool:
        """Whether this work is left out this time. What has failed is not tried at each commit again, which could cost
        each the same long way to the same end, but after 1, 2, 4 ... commits."""
        left = self._resting.get(work, 0)
        if left:
            self._resting[work] = left - 1
        return left > 0

    def keep(self, work: str, error: Exception) -> None:
        """Say that some work after a commit has failed."""
        text = f"{work}: {type(error).__name__}: {error}"
        self._kept.append(text)
        if not isinstance(error, StorageFullError):  # which ends as soon as there is room
            self.has_failed[work] = self.has_failed.get(work, 0) + 1
            self._resting[work] = min(2 ** (self.has_failed[work] - 1), _LONGEST_REST)
        # Without a free descriptor or memory Python's logging cannot be loaded; the change stands, and `texts` has it.
        with suppress(ImportError, OSError, MemoryError):
            warning("index at %s: the change is stored, but what follows a commit failed: %s", self.index, text)

    def succeeded(self, work: str) -> None:
        """Say that it has not."""
        self.has_failed.pop(work, None)


class _Keeping:
    __slots__ = ("_faults", "_work")

    def __init__(self, faults: Faults, work: str) -> None:
        self._faults = faults
        self._work = work

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if isinstance(error, Exception):
            self._faults.keep(self._work, error)
            return True
        if error is None and self._faults.has_failed:
            self._faults.succeeded(self._work)
        return False
