"""The lock of a collection: readers open all shards between two changes of several shards, never within one."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pqstore.storage.disk.regular_file import open_regular
from pqstore.storage.disk.system_errors import file_errors, opening

__all__ = ["changing", "looking"]


@contextmanager
def looking(path: Path) -> Iterator[None]:
    """Nobody changes several shards within the block. Where there is no lock file, nobody does at all.

    Raises:
        CorruptIndexError: something else than a file has its name.
    """
    descriptor = _opened(path)
    if descriptor is None:
        yield
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def changing(path: Path) -> Iterator[None]:
    """Nobody opens shards, or changes several of them, within the block.

    Raises:
        CorruptIndexError: something else than a file has its name.
        ReadOnlyError: it may not be written, or made.
    """
    with file_errors(path):
        descriptor = open_regular(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _opened(path: Path) -> int | None:
    """A descriptor of the lock file; None: there is none for this process."""
    with opening(path):
        try:
            return open_regular(path)
        except (FileNotFoundError, PermissionError):
            return None
