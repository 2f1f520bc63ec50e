"""What follows when another generation has taken the place of one."""

from __future__ import annotations

from pathlib import Path

from pqstore.storage.disk import crash_points, directory
from pqstore.storage.transactions.generation import Generation, mark_superseded
from pqstore.storage.transactions.open_index import SharedIndex

__all__ = ["leave"]


def leave(shared: SharedIndex, old: Generation, new: Path) -> None:
    """Tell readers, and remove the old one; nothing of it raises, and the next writer does what is left of it."""
    try:
        with shared.faults.kept("removing the generation before"):
            directory.sync_directory(old.index)
            crash_points.reach("generation switched")
            mark_superseded(old.environment)
            crash_points.reach("old generation marked")
            directory.remove_leftovers(old.index, directory.generation_number(new))
    finally:
        old.superseded = True
        shared.retire(old)
