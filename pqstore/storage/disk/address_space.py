"""How much address space the map of a data file takes, and opening LMDB with it.

A map costs nothing but addresses, of which a process has 128 TiB, or fewer by its limit (`ulimit -v`). The first
indexes of a process get more than they will ever need, so that theirs never has to be made larger. What comes after
those gets room for a file many times as large as it is now, and is opened again when it has grown into that.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lmdb

from pqstore.errors import StorageFullError
from pqstore.storage.disk.data_file import DATA_FILE
from pqstore.storage.disk.process_lock import ProcessLock
from pqstore.storage.limits import Limits

__all__ = ["MappedFile", "map_bytes", "opened_briefly"]

_ADDRESSES = 1 << 47  # of a process without a limit
_AMPLE_SHARE, _LEAST_SHARE = 8, 2  # one in so many addresses is for maps of these sizes
_TIMES = 64  # how much larger than its file a map is
_STEP = 1 << 20  # sizes of maps are multiples of it
_SPARE = 16 << 20  # beyond the file, for the few pages that are written to a copy

_reserved = 0  # bytes of all maps of this process
_reserved_lock = ProcessLock()  # garbage collection, which closes maps, may come while it is held


class MappedFile:
    """LMDB on the data file of a directory, and the address space that it has taken."""

    def __init__(self, where: Path, file_bytes: int, limits: Limits, **options: Any) -> None:
        """`options` go to ``lmdb.open``. Raises `StorageFullError` when not even the file fits."""
        self._file_bytes = file_bytes
        self._limits = limits
        self.lmdb, self.bytes = _open(where, file_bytes, self._wanted(file_bytes), options)
        _count(self.bytes)

    def _wanted(self, file_bytes: int, given: int = 0) -> int:
        return map_bytes(file_bytes, _reserved - given, _process_may(), self._limits)

    def is_cramped(self, used: int) -> bool:
        """Whether `used` bytes of file fill much of the map, and would get a larger one if it was opened now."""
        if self.bytes >= self._limits.ample_map or 4 * used <= self.bytes:
            return False
        # Where a process has little room the map may be no larger than before: not again until much has been added.
        if 8 * used < 9 * self._file_bytes:
            return False
        return 8 * self._wanted(used, self.bytes) >= 9 * self.bytes

    def close(self) -> None:
        """Unmap; called again it does nothing."""
        self.lmdb.close()
        given, self.bytes = self.bytes, 0
        _count(-given)


def map_bytes(file_bytes: int, reserved: int, process_may: int, limits: Limits) -> int:
    """Of how many bytes the map of a file should be, where other maps have `reserved` of those that the process may
    use."""
    if reserved + limits.ample_map <= process_may // _AMPLE_SHARE:
        return limits.ample_map
    # So much at least, that one change to a small index fits.
    growth = file_bytes + max(file_bytes // 4, min(limits.least_map // 8, process_may // 256))
    most = process_may // 16
    by_file = min(max(limits.least_map, _TIMES * file_bytes), limits.ample_map, most)
    return max(by_file, growth) if reserved + by_file <= process_may // _LEAST_SHARE else growth


@contextmanager
def opened_briefly(where: Path, **options: Any) -> Iterator[Any]:
    """LMDB on the data file of a directory that no others write to, with just the address space that it needs."""
    size = (where / DATA_FILE).stat().st_size
    opened, _ = _open(where, size, size + _SPARE, {"max_dbs": 64, "lock": False, **options})
    with opened:
        yield opened


def _open(where: Path, file_bytes: int, wanted: int, options: dict[str, Any]) -> tuple[Any, int]:
    """(LMDB, bytes of its map): as many as wanted, or half as many beyond the file until they fit."""
    beyond = max(wanted - file_bytes, _STEP)
    while True:
        size = -(-(file_bytes + beyond) // _STEP) * _STEP
        try:
            # A str would have to be UTF-8, which a file name need not be.
            return lmdb.open(os.fsencode(where), map_size=size, lib_version=0, **options), size
        except lmdb.MemoryError:
            beyond //= 2
            if beyond < _STEP // 2:
                break
    raise StorageFullError(
        f"index at {where.parent}: its {file_bytes} bytes do not fit the address space that this process may use: "
        "close other indexes, or raise the limit (ulimit -v)"
    )


def _count(more: int) -> None:
    global _reserved  # noqa: PLW0603 - one process, one address space
    with _reserved_lock:
        _reserved += more


def _process_may() -> int:
    """Bytes of address space that this process may use."""
    try:
        import resource  # noqa: PLC0415 - there is none on Windows
    except ImportError:
        return _ADDRESSES
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    return _ADDRESSES if soft == resource.RLIM_INFINITY else min(soft, _ADDRESSES)
