"""The system's errors with files, in the words of `pqstore.errors`: what was refused, and what next."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pqstore.errors import (
    IndexAccessError,
    IndexNotFoundError,
    PQStoreError,
    ReadOnlyError,
    StorageFullError,
    TooManyFilesError,
)

__all__ = [
    "FULL",
    "NO_DESCRIPTORS",
    "REFUSED",
    "file_errors",
    "no_room",
    "not_writable",
    "opening",
    "out_of_descriptors",
]

# LMDB reports a short write of a large value as an input/output error; it is what a full disk looks like.
FULL = {errno.EIO, errno.ENOSPC, errno.EFBIG, errno.EDQUOT, errno.ENOMEM}
REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS}
NO_DESCRIPTORS = {errno.EMFILE, errno.ENFILE}
_NO_PATH = {
    errno.ENOENT: "the path does not exist",
    errno.ENOTDIR: "what should be a directory on its way is none",
    errno.ELOOP: "symbolic links on its way lead in a circle",
    errno.ENAMETOOLONG: "the path is longer than the system allows",
}


def out_of_descriptors(path: Path, error: Exception) -> TooManyFilesError:
    """No file can be opened any more."""
    return TooManyFilesError(
        f"{path}: this process, or the system, has as many files open as it may ({error}): close indexes that are not "
        "needed, or raise the limit (ulimit -n)"
    )


def no_room(what: str, error: Exception) -> StorageFullError:
    """Nothing more can be written to `what`."""
    return StorageFullError(
        f"{what}: the disk took no more data (full, a file size limit, a quota or a disk error): {error}; "
        "nothing of this call is stored"
    )


def not_writable(what: str, error: Exception) -> ReadOnlyError:
    """Writing to `what` is not allowed."""
    return ReadOnlyError(f"{what}: nothing can be written there ({error})")


@contextmanager
def file_errors(path: Path) -> Iterator[None]:
    """Turn the system's errors with a file of ours inside the block into pqstore's."""
    try:
        yield
    except OSError as error:
        if isinstance(error, PQStoreError):
            raise
        if error.errno in FULL:
            raise no_room(str(path), error) from error
        if error.errno in REFUSED:
            raise not_writable(str(path), error) from error
        if error.errno in NO_DESCRIPTORS:
            raise out_of_descriptors(path, error) from error
        raise PQStoreError(f"{path}: {error}") from error


class opening:  # noqa: N801 - reads as the statement that it is
    """The same for a block that looks for the index at `path`, or opens it."""

    __slots__ = ("_path",)

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError) and not isinstance(error, PQStoreError):
            raise _not_opened(self._path, error) from error


def _not_opened(path: Path, error: OSError) -> PQStoreError:
    code = error.errno
    if code == errno.ENOTDIR and path.is_file():
        return IndexNotFoundError(f"{path} is a file; an index of pqstore is a directory")
    if code in _NO_PATH:
        return IndexNotFoundError(f"there is no index at {path}: {_NO_PATH[code]}")
    if code in REFUSED:
        return IndexAccessError(
            f"index at {path}: this process may not read it ({error}): open it as its owner, or have the permissions "
            "of its directory and files changed"
        )
    if code in NO_DESCRIPTORS:
        return out_of_descriptors(path, error)
    return PQStoreError(f"index at {path} cannot be opened: {error}")
