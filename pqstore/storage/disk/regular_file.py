"""Opening files that must be files: no link is followed, nothing is waited for, and no device or pipe is read."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from pqstore.errors import CorruptIndexError

__all__ = ["check_regular", "open_regular"]

# Where a flag is missing the check after opening stands alone.
_CAREFUL = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
_KINDS = (
    (stat.S_ISLNK, "a symbolic link"),
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def open_regular(path: Path, flags: int = os.O_RDONLY, mode: int = 0o644) -> int:
    """A descriptor of the regular file at `path`; the caller closes it.

    Raises `CorruptIndexError` where something else stands there, and `OSError` as `os.open` does otherwise.
    """
    try:
        descriptor = os.open(path, flags | _CAREFUL, mode)
    except OSError:
        check_regular(path)  # a link, a socket, a pipe without a reader, a directory: each fails in its own way
        raise
    kind = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(kind):
        os.close(descriptor)
        raise _not_regular(path, kind)
    return descriptor


def check_regular(path: Path) -> None:
    """Raise `CorruptIndexError` when `path` is there and is no regular file."""
    try:
        kind = path.lstat().st_mode
    except OSError:
        return  # not there, or not to be seen: whoever opens it says so
    if not stat.S_ISREG(kind):
        raise _not_regular(path, kind)


def _not_regular(path: Path, kind: int) -> CorruptIndexError:
    name = next((name for is_it, name in _KINDS if is_it(kind)), "something else")
    return CorruptIndexError(f"{path} is {name}, not a regular file: remove it, or copy the index anew from its source")
