"""A file that takes its name when it is whole: until then, and after a failure, what was there before stays."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from typing import BinaryIO, cast

from pqstore.paths import as_path

__all__ = ["whole_file"]

_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)


@contextmanager
def whole_file(path: str | PathLike[str]) -> Iterator[BinaryIO]:
    """A stream to write and read; when the block ends without an exception the file is durable and named `path`.

    Who may read it is decided as for any file: by the umask, or by the permissions of the file that it replaces.

    Raises:
        InvalidPathError: no file can have this name.
        OSError: the file cannot be written.
    """
    target = as_path(path)
    temporary = target.with_name(f".{target.name}.{os.urandom(6).hex()}")
    descriptor = os.open(temporary, _NEW, 0o666)
    try:
        with cast(BinaryIO, os.fdopen(descriptor, "w+b")) as stream:
            yield stream
            stream.flush()
            if target.exists():
                temporary.chmod(stat.S_IMODE(target.stat().st_mode) & 0o777)
            os.fsync(stream.fileno())
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
