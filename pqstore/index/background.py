"""Work on an index in a thread of its own, one at a time for each."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

from pqstore.log import warning

__all__ = ["in_background"]

_busy: set[tuple[int, Path]] = set()  # by process: a forked child has none of these threads
_lock = threading.Lock()


def in_background(path: Path, work: Callable[[], object]) -> threading.Thread | None:
    """Begin, unless such work on the index at this path goes on already. What it raises is logged; the end of the
    process does not wait for it, which is as if it was killed."""
    key = os.getpid(), path
    with _lock:
        if key in _busy:
            return None
        _busy.add(key)

    def run() -> None:
        try:
            work()
        except Exception as error:
            warning("index at %s: work in the background failed: %s: %s", path, type(error).__name__, error)
        finally:
            with _lock:
                _busy.discard(key)

    thread = threading.Thread(target=run, name=f"pqstore {path.name}", daemon=True)
    thread.start()
    return thread
