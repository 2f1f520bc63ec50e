"""Work on an index in a thread of its own, one at a time for each."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

from pqstore.log import warning

__all__ = ["in_background"]

# By process, since a forked child has none of these threads. Without a lock, which a fork may find taken: one call of a
# dict with such keys is one step for all threads.
_busy: dict[tuple[int, str], object] = {}


def in_background(path: Path, work: Callable[[], object]) -> threading.Thread | None:
    """Begin, unless such work on the index at this path goes on already. What it raises is logged; the end of the
    process does not wait for it, which is as if it was killed."""
    key, mine = (os.getpid(), str(path)), object()
    if _busy.setdefault(key, mine) is not mine:
        return None

    def run() -> None:
        try:
            work()
        except Exception as error:
            warning("index at %s: work in the background failed: %s: %s", path, type(error).__name__, error)
        finally:
            del _busy[key]

    thread = threading.Thread(target=run, name=f"pqstore {path.name}", daemon=True)
    thread.start()
    return thread
