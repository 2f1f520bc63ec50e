"""The directory of an open index by what it is, whatever it is called meanwhile."""

from __future__ import annotations

import os
from pathlib import Path

from pqstore.storage.disk.system_errors import opening

__all__ = ["HeldDirectory"]


class HeldDirectory:
    """A descriptor of a directory. While it is held the system gives the directory's number to no other."""

    def __init__(self, path: Path) -> None:
        with opening(path):
            self.descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0))
        status = os.fstat(self.descriptor)
        self.key = (status.st_dev, status.st_ino)
        """Device and number: no two directories that exist have the same."""

    def is_at(self, path: Path) -> bool:
        """Whether a path leads to this directory now."""
        try:
            status = os.stat(path)  # noqa: PTH116 - at each commit: a Path costs as much again
        except (FileNotFoundError, NotADirectoryError):
            return False
        return (status.st_dev, status.st_ino) == self.key

    def close(self) -> None:
        """Give the descriptor back."""
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)
