"""How many threads a call may use: its argument, else PQSTORE_NUM_THREADS, else all cores of this process."""

from __future__ import annotations

import operator
import os

__all__ = ["resolve_threads"]

# More than any machine has cores, and a number that compiled code can hold.
_MOST = 1 << 16


def resolve_threads(threads: int | None) -> int:
    """The number of threads to use, at least 1.

    Raises:
        ValueError: `threads`, or the environment variable ``PQSTORE_NUM_THREADS``, is not a positive whole number.
        TypeError: `threads` is not an integer.
    """
    if threads is not None:
        count = operator.index(threads)
        if count < 1:
            raise ValueError(f"threads must be at least 1, got {count}: leave it out to use all cores")
        return min(count, _MOST)
    try:  # not get(): an environment looks a name up twice as fast, and each search asks
        setting = os.environ["PQSTORE_NUM_THREADS"].strip()
    except KeyError:
        setting = ""
    if setting:
        if not setting.isdecimal() or int(setting) < 1:
            raise ValueError(f"PQSTORE_NUM_THREADS must be a positive whole number, got {setting!r}")
        return min(int(setting), _MOST)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
