"""The logger "pqstore": what takes long, and what was chosen.

Python's own logging is loaded when there is something to say: a search has nothing.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import logging

__all__ = ["SLOW", "logger", "slow_work"]

SLOW = 1.0
"""Seconds from which on a wait, or work that nobody asked for, is worth a line."""


def logger() -> logging.Logger:
    """The logger "pqstore". It has no handler but what the program gives it."""
    import logging  # noqa: PLC0415 # see above

    return logging.getLogger("pqstore")


@contextmanager
def slow_work(what: str, index: object, *, at_least: float = SLOW) -> Iterator[None]:
    """Log, when the block has ended well and took so many seconds, what it did."""
    started = time.monotonic()
    yield
    taken = time.monotonic() - started
    if taken >= at_least:
        logger().info("index at %s: %s took %.1f s", index, what, taken)
