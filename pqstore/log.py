"""The logger "pqstore": what takes long, and what was chosen."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["SLOW", "info", "slow_since", "slow_work", "warning"]

SLOW = 1.0
"""Seconds from which on a wait, or work that nobody asked for, is worth a line."""


def info(text: str, *values: object) -> None:
    """A line for those who listen: a program that has not loaded Python's logging does not."""
    logging: Any = sys.modules.get("logging")
    if logging is not None:
        logging.getLogger("pqstore").info(text, *values)


def warning(text: str, *values: object) -> None:
    """A line that shows up on standard error where a program says nothing else."""
    import logging  # noqa: PLC0415 # a search has nothing to say

    logging.getLogger("pqstore").warning(text, *values)


@contextmanager
def slow_work(what: str, index: object) -> Iterator[None]:
    """Log, when the block has ended well and took long, what it did."""
    started = time.monotonic()
    yield
    slow_since(started, what, index)


def slow_since(started: float, what: str, index: object) -> None:
    """Log what was done since `started`, of `time.monotonic`, if it took long."""
    taken = time.monotonic() - started
    if taken >= SLOW:
        info("index at %s: %s took %.1f s", index, what, taken)
