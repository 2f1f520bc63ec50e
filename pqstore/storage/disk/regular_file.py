"""Opening files that must be files: no link is followed, nothing is waited for, and no device or pipe is read."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from pqstore.errors import CorruptIndexError

__all__ = ["check_directory", "check_regular", "create_like", "file_identity", "open_regular"]

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


def open_regular(path: Path, flags: int = os.O_RDONLY, mode: int = 0o644, *, directory: int | None = None) -> int:
    """A descriptor of the regular file at `path`; the caller closes it. `directory`: the descriptor to begin at.

    Raises `CorruptIndexError` where something else stands there, and `OSError` as `os.open` does otherwise.
    """
    try:
        descriptor = os.open(path, flags | _CAREFUL, mode, dir_fd=directory)
    except OSError:
        check_regular(
            path, directory
        )  # a link, a socket, a pipe without a reader, a directory: each fails in its own way
        raise
    kind = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(kind):
        os.close(descriptor)
        raise _not_regular(path, kind)
    return descriptor


def create_like(path: Path, like: Path) -> int:
    """A descriptor for reading and writing of the file at `path`, made anew unless another process has just done so.

    It gets the permissions of `like`, and its owner where that can be: what root makes beside another's file
    must not keep that other out.
    """
    model = like.stat()
    mode = stat.S_IMODE(model.st_mode) & 0o666
    try:
        descriptor = open_regular(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError:
        return open_regular(path, os.O_RDWR)
    if hasattr(os, "fchmod"):
        os.fchmod(descriptor, mode)  # past the umask
        if os.geteuid() == 0 and model.st_uid != 0:
            os.fchown(descriptor, model.st_uid, model.st_gid)
    return descriptor


def check_directory(path: Path, directory: int | None = None) -> None:
    """Raise `CorruptIndexError` when `path` is there and is no directory, or leads to one elsewhere."""
    kind = _kind(path, directory)
    if kind is not None and not stat.S_ISDIR(kind):
        name = next((name for is_it, name in _KINDS if is_it(kind)), "a file")
        raise CorruptIndexError(f"{path} is {name}, not a directory: remove it, or copy the index anew from its source")


def check_regular(path: Path, directory: int | None = None) -> None:
    """Raise `CorruptIndexError` when `path` is there and is no regular file."""
    kind = _kind(path, directory)
    if kind is not None and not stat.S_ISREG(kind):
        raise _not_regular(path, kind)


def file_identity(path: str) -> tuple[int, int] | None:
    """Device and number of what stands at `path`, which no two files that exist share; None where nothing does."""
    try:
        status = os.stat(path)  # noqa: PTH116 - at each commit: a Path costs as much again
    except (FileNotFoundError, NotADirectoryError):
        return None
    return status.st_dev, status.st_ino


def _kind(path: Path, directory: int | None) -> int | None:
    try:
        return os.stat(path, dir_fd=directory, follow_symlinks=False).st_mode
    except OSError:
        return None  # not there, or not to be seen: whoever opens it says so


def _not_regular(path: Path, kind: int) -> CorruptIndexError:
    name = next((name for is_it, name in _KINDS if is_it(kind)), "something else")
    return CorruptIndexError(f"{path} is {name}, not a regular file: remove it, or copy the index anew from its source")
