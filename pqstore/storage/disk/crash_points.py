"""Named moments at which a process may die; tests kill it there."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["POINTS", "observe", "reach"]

POINTS = (
    "index created under a temporary name",
    "segment sealed",
    "run written",
    "transaction staged",
    "segment rewritten",
    "merge step done",
    "merge finished",
    "list table written",
    "list run written",
    "list merge step done",
    "lists switched",
    "lists dropped",
    "originals written",
    "originals synced",
    "before commit",
    "after commit",
    "rebuilding begun",
    "rows rebuilt",
    "index rebuilt beside",
    "generation copied",
    "generation switched",
    "old generation marked",
)

_observer: Callable[[str], None] | None = None


def reach(name: str) -> None:
    """The process is at this point."""
    if _observer is not None:
        _observer(name)


def observe(observer: Callable[[str], None] | None) -> None:
    """Call this at every point, in this process."""
    global _observer  # noqa: PLW0603 - one process, one observer
    _observer = observer
