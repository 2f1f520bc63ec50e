"""LMDB's errors in the words of `pqstore.errors`."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import lmdb

from pqstore.errors import CorruptIndexError, PQStoreError, ReadOnlyError, StorageFullError

__all__ = ["file_errors", "storage_errors", "translate"]

_DAMAGE = (
    lmdb.CorruptedError,
    lmdb.PageNotFoundError,
    lmdb.InvalidError,
    lmdb.VersionMismatchError,
    lmdb.IncompatibleError,
    lmdb.NotFoundError,
    lmdb.BadValsizeError,
)
# LMDB reports a short write of a large value as an input/output error; it is what a full disk looks like.
_FULL = {errno.EIO, errno.ENOSPC, errno.EFBIG, errno.EDQUOT, errno.ENOMEM}
_REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS}


def translate(error: lmdb.Error, path: Path) -> PQStoreError:
    """The error that a caller of pqstore sees for an error of LMDB."""
    code = getattr(error, "code", None)
    if isinstance(error, lmdb.MapFullError | lmdb.MemoryError | lmdb.MapResizedError):
        return StorageFullError(
            f"index at {path}: the data file does not fit the address space that this process has for it ({error}): "
            "close snapshots of this index, so that it can get more, or other indexes, or raise the limit (ulimit -v); "
            "add less in one call"
        )
    if isinstance(error, lmdb.DiskError) or code in _FULL:
        return StorageFullError(
            f"index at {path}: the disk took no more data (full, a file size limit, a quota or a disk error): {error}; "
            "nothing of this call is stored"
        )
    if isinstance(error, lmdb.ReadonlyError) or code in _REFUSED:
        return ReadOnlyError(f"index at {path}: nothing can be written there ({error})")
    if isinstance(error, _DAMAGE):
        return CorruptIndexError(
            f"index at {path}: the data file is damaged ({error}); `repair` salvages what is sound"
        )
    if isinstance(error, lmdb.ReadersFullError):
        return PQStoreError(f"index at {path}: too many snapshots are open at once, in all processes together")
    return PQStoreError(f"index at {path}: {error}")


class storage_errors:  # noqa: N801 - reads as the statement that it is
    """Turn LMDB's errors inside a `with` block into pqstore's."""

    __slots__ = ("_path",)

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, lmdb.Error):
            raise translate(error, self._path) from error


@contextmanager
def file_errors(path: Path) -> Iterator[None]:
    """Turn the system's errors with a file of ours inside the block into pqstore's."""
    try:
        yield
    except OSError as error:
        if isinstance(error, PQStoreError):
            raise
        if error.errno in _FULL:
            raise StorageFullError(
                f"{path}: the disk took no more data (full, a file size limit, a quota or a disk error): {error}; "
                "nothing of this call is stored"
            ) from error
        if error.errno in _REFUSED:
            raise ReadOnlyError(f"{path}: nothing can be written there ({error})") from error
        raise PQStoreError(f"{path}: {error}") from error
