"""Where an open index lies, and that it is still the same one that lies there."""

from __future__ import annotations

import os
from pathlib import Path

from pqstore.errors import IndexNotFoundError, IndexReplacedError, PQStoreError
from pqstore.storage.disk.directory import generation_path, is_current, newest_generation
from pqstore.storage.disk.held_directory import HeldDirectory
from pqstore.storage.limits import Limits
from pqstore.storage.transactions.generation import Generation

__all__ = ["Place"]


class Place:
    """The directory of an index, known by what it is, and the index in it, known by its uuid."""

    def __init__(self, directory: HeldDirectory) -> None:
        self.directory = directory
        self.uuid: str | None = None
        """Of the index, once it has been opened."""
        self.taken = False
        """Whether another index lies in the directory now."""

    def check(self, path: Path) -> None:
        """Raise `IndexReplacedError` when a path does not lead to the index."""
        if self.taken or not self.directory.is_at(path):
            raise self.replaced(path)

    def open_newest(self, path: Path, limits: Limits, *, metasync: bool, sync: bool) -> Generation:
        """The newest generation of the index that this is, opened."""
        for _ in range(100):
            self.check(path)
            try:
                number = newest_generation(path)
            except IndexNotFoundError:
                if self.uuid is None:
                    raise
                raise self.replaced(path) from None
            try:
                where = generation_path(path, number)
                generation = Generation(where, limits, self.directory, metasync=metasync, sync=sync)
            except PQStoreError:
                if is_current(path, number):
                    raise
                continue  # a compaction in another process removed it meanwhile
            try:
                if is_current(path, number) and generation.environment.keeps_its_data_file():
                    self._recognize(generation, path)
                    return generation
            except BaseException:
                generation.close()
                raise
            generation.close()
        raise PQStoreError(f"index at {path}: its generations change faster than they can be opened")

    def _recognize(self, generation: Generation, path: Path) -> None:
        """Raise `IndexReplacedError` unless it is one of this index, and of no other that was put in its place."""
        if self.uuid not in (None, generation.identity.uuid) or not self.directory.is_at(path):
            raise self.replaced(path)
        self.uuid = generation.identity.uuid

    def replaced(self, path: Path) -> IndexReplacedError:
        """The error that says that another thing, or nothing, is at the path."""
        if os.path.lexists(path):
            return IndexReplacedError(
                f"index at {path}: something else was put in its place while it was open: open it anew"
            )
        return IndexReplacedError(
            f"index at {path}: its directory was moved or removed while it was open: open it where it is now"
        )

    def move_to(self, path: Path) -> None:
        """The index lies in the directory at this path from now on."""
        before, self.directory = self.directory, HeldDirectory(path)
        before.close()

    def close(self) -> None:
        """Give the directory back."""
        self.directory.close()
