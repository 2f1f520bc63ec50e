"""What compactions leave beside the newest generation when they die, or when readers still use it."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from pqstore.errors import PQStoreError
from pqstore.storage.disk.directory import generation_number, older_generations, remove_leftovers
from pqstore.storage.disk.environment import Environment
from pqstore.storage.limits import Limits
from pqstore.storage.transactions.generation import mark_superseded
from pqstore.storage.transactions.rebuilding_places import clear_places

__all__ = ["clear_older"]


def clear_older(path: Path, number: int, used: Collection[int], limits: Limits) -> None:
    """Remove generations before this one. Readers that still have one are told, where its compaction has not.

    Needs the writer lock. `used` are generations that this process has open.
    """
    for older in older_generations(path, number):
        if generation_number(older) in used:
            continue  # marked when it was followed; to open it a second time would end its locks
        with suppress(PQStoreError, OSError):  # damaged
            environment = Environment(older, metasync=False, limits=limits)
            try:
                mark_superseded(environment)
            finally:
                environment.close()
    remove_leftovers(path, number)
    clear_places(path)
