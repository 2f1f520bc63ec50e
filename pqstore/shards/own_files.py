"""Files and shards in the directory of a collection: none is a link that leads out of it, a pipe or a device."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO, cast

from pqstore.errors import DocumentError
from pqstore.storage.disk.regular_file import check_directory, open_regular
from pqstore.storage.disk.system_errors import opening

__all__ = ["has_shard", "open_own", "read_own"]


def open_own(path: Path) -> BinaryIO:
    """A regular file, to be read.

    Raises:
        FileNotFoundError: there is none.
        CorruptIndexError: something else has its name. IndexAccessError, TooManyFilesError: the system refuses it.
    """
    with opening(path):
        try:
            descriptor = open_regular(path)
        except FileNotFoundError:
            descriptor = -1
    if descriptor < 0:
        raise FileNotFoundError(f"{path} is not there")
    return cast(BinaryIO, os.fdopen(descriptor, "rb"))


def read_own(path: Path, most: int) -> bytes:
    """All bytes of a regular file that has no more of them than it may.

    Raises:
        DocumentError: it is longer. Otherwise as `open_own`.
    """
    with open_own(path) as stream:
        size = os.fstat(stream.fileno()).st_size
        if size > most:
            raise DocumentError(f"{path}: at most {most:,} bytes expected, got {size:,}")
        return stream.read(most)


def has_shard(path: Path) -> bool:
    """Whether there is the directory of a shard.

    Raises:
        CorruptIndexError: something else has its name, or a link.
    """
    check_directory(path)
    return path.is_dir()
