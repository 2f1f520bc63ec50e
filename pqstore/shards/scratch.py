"""A directory on a local disk for the time of one build; what killed builds left there is removed by the next."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pqstore.paths import as_path
from pqstore.shards.file_system import refuse_network

__all__ = ["scratch_directory"]

_PREFIX = "pqstore-shard-"
_NAME = re.compile(r"pqstore-shard-[a-z0-9_]{8}\Z")


@contextmanager
def scratch_directory(parent: Any = None) -> Iterator[Path]:
    """A new directory within `parent` (None: where the system has temporary files), which goes at the end.

    While its process lives it holds a lock on it: a directory of this name that nobody holds was left by a kill.

    Raises:
        NetworkFileSystemError: the parent lies on a file system of a network.
        OSError: it cannot be made.
    """
    place = Path(tempfile.gettempdir()) if parent is None else as_path(parent)
    refuse_network(place, "the scratch directory", "name a directory on a local disk with scratch=")
    _remove_left(place)
    directory = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=place))
    held = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)
        os.close(held)


def _remove_left(place: Path) -> None:
    for path in place.iterdir():
        if _NAME.match(path.name):
            with suppress(OSError):  # another user's, or one that another build removes
                _remove_unheld(path)


def _remove_unheld(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # One that was made this moment is not locked yet, and is empty.
        if any(path.iterdir()):
            shutil.rmtree(path, ignore_errors=True)
    finally:
        os.close(descriptor)
