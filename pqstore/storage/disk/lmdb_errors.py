"""LMDB's errors in the words of `pqstore.errors`."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import lmdb

from pqstore.errors import CorruptIndexError, PQStoreError, SameProcessIdError, StorageFullError
from pqstore.storage.disk.system_errors import FULL, NO_DESCRIPTORS, REFUSED, no_room, not_writable, out_of_descriptors

__all__ = ["same_process_id", "storage_errors", "translate"]

_DAMAGE = (
    lmdb.CorruptedError,
    lmdb.PageNotFoundError,
    lmdb.InvalidError,
    lmdb.VersionMismatchError,
    lmdb.IncompatibleError,
    lmdb.NotFoundError,
    lmdb.BadValsizeError,
)
# What the lock of a process's own number gives that another process has.
_HELD = {errno.EAGAIN, errno.EWOULDBLOCK}


def translate(error: lmdb.Error, path: Path) -> PQStoreError:
    """The error that a caller of pqstore sees for an error of LMDB."""
    code = getattr(error, "code", None)
    if isinstance(error, lmdb.MapFullError | lmdb.MemoryError | lmdb.MapResizedError):
        return StorageFullError(
            f"index at {path}: the data file does not fit the address space that this process has for it ({error}): "
            "close snapshots of this index, so that it can get more, or other indexes, or raise the limit (ulimit -v); "
            "add less in one call"
        )
    if isinstance(error, lmdb.DiskError) or code in FULL:
        return no_room(f"index at {path}", error)
    if isinstance(error, lmdb.ReadonlyError) or code in REFUSED:
        return not_writable(f"index at {path}", error)
    if isinstance(error, _DAMAGE):
        return CorruptIndexError(
            f"index at {path}: the data file is damaged ({error}); `repair` salvages what is sound"
        )
    if isinstance(error, lmdb.ReadersFullError):
        return PQStoreError(f"index at {path}: too many snapshots are open at once, in all processes together")
    return _other(error, code, path)


def _other(error: lmdb.Error, code: int | None, path: Path) -> PQStoreError:
    if code in NO_DESCRIPTORS:
        return out_of_descriptors(path, error)
    if code in _HELD:
        return same_process_id(path)
    return PQStoreError(f"index at {path}: {error}")


def same_process_id(path: Path) -> SameProcessIdError:
    """LMDB tells readers apart by the numbers of their processes, and another has ours."""
    return SameProcessIdError(
        f"index at {path}: a process of another container has it open that has the same number there as this one has "
        f"here ({os.getpid()}); let the containers share their process numbers (a common PID namespace), start this "
        "process under another number, or give each container a copy (see docs/howto/containers.md)"
    )


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
