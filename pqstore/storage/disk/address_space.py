"""How much address space the map of a data file takes, and opening LMDB with it.

A map costs nothing but addresses, of which a process has 128 TiB, or fewer by its limit (`ulimit -v`). The first
indexes of a process get more than they will ever need, so that theirs never has to be made larger. What comes after
those gets room for a file many times as large as it is now, and is opened again when it has grown into that.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lmdb

from pqstore.errors import StorageFullError
from pqstore.storage.disk.data_file import DATA_FILE

__all__ = ["MappedFile", "opened_briefly"]

_ADDRESSES = 1 << 47  # of a process without a limit
_TIMES = 64  # how much larger than its file a map is
_LEAST = 1 << 20  # what is tried last
_SPARE = 16 << 20  # beyond the file, for the few pages that are written to a copy

_reserved = 0  # bytes of all maps of this process
_reserved_lock = threading.Lock()


class MappedFile:
    """LMDB on the data file of a directory, and the address space that it has taken."""

    def __init__(self, where: Path, file_bytes: int, *, least: int, ample: int, **options: Any) -> None:
        """A map of `ample` bytes where this process has many times that; else by the file, but of `least` bytes.

        `options` go to ``lmdb.open``. Raises `StorageFullError` when not even the file fits.
        """
        limit = _limit()
        with _reserved_lock:
            is_ample = _reserved + ample <= limit // 8
        # A process with little room shares it among several.
        wanted = ample if is_ample else max(_TIMES * file_bytes, min(least, limit // 16))
        self.lmdb, self.bytes = _open(where, file_bytes, min(ample, wanted), options)
        self._count(self.bytes)

    def close(self) -> None:
        """Unmap; called again it does nothing."""
        self.lmdb.close()
        self._count(-self.bytes)
        self.bytes = 0

    @staticmethod
    def _count(more: int) -> None:
        global _reserved  # noqa: PLW0603 - one process, one address space
        with _reserved_lock:
            _reserved += more


@contextmanager
def opened_briefly(where: Path, **options: Any) -> Iterator[Any]:
    """LMDB on the data file of a directory that no others write to, with just the address space that it needs."""
    size = (where / DATA_FILE).stat().st_size
    opened, _ = _open(where, size, size + _SPARE, {"max_dbs": 64, "lock": False, **options})
    with opened:
        yield opened


def _open(where: Path, file_bytes: int, wanted: int, options: dict[str, Any]) -> tuple[Any, int]:
    """(LMDB, bytes of its map): as many as wanted, rounded up to a power of two, or half as many until they fit."""
    size = 1 << (max(wanted, _LEAST) - 1).bit_length()
    while size >= max(file_bytes, _LEAST):
        try:
            # A str would have to be UTF-8, which a file name need not be.
            return lmdb.open(os.fsencode(where), map_size=size, lib_version=0, **options), size
        except lmdb.MemoryError:
            size >>= 1
    raise StorageFullError(
        f"index at {where.parent}: its {file_bytes} bytes do not fit the address space that this process may use"
    )


def _limit() -> int:
    """Bytes of address space that this process may use."""
    try:
        import resource  # noqa: PLC0415 - there is none on Windows
    except ImportError:
        return _ADDRESSES
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    return _ADDRESSES if soft == resource.RLIM_INFINITY else min(soft, _ADDRESSES)
