"""Warnings that point at the line of the caller, not at one of ours; or that somebody in between collects."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

__all__ = ["collected_warnings", "warn_caller"]

_collected: ContextVar[list[tuple[str, type[Warning]]] | None] = ContextVar("collected warnings", default=None)


def warn_caller(message: str, category: type[Warning]) -> None:
    """Warn, as from the innermost line that is not in this package."""
    collecting = _collected.get()
    if collecting is not None:
        collecting.append((message, category))
        return
    depth, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "pqstore":
        depth, frame = depth + 1, frame.f_back
    warnings.warn(message, category, stacklevel=depth)


@contextmanager
def collected_warnings() -> Iterator[list[tuple[str, type[Warning]]]]:
    """A list to which warnings of this thread go within the block, in place of the caller: what one part of the rows
    says may not hold for all of them."""
    told: list[tuple[str, type[Warning]]] = []
    token = _collected.set(told)
    try:
        yield told
    finally:
        _collected.reset(token)
