"""LMDB's lock file, looked at before LMDB opens it: LMDB follows links, and overwrites whatever it finds.

Nothing here may run while this process has the environment open: closing any descriptor of the file would end the locks
by which other processes know this one.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path

from pqstore.errors import CorruptIndexError
from pqstore.storage.disk.lmdb_errors import same_process_id
from pqstore.storage.disk.regular_file import check_regular, create_like, open_regular
from pqstore.storage.disk.system_errors import REFUSED

try:
    import fcntl
except ImportError:  # elsewhere LMDB knows processes by other means
    fcntl = None  # type: ignore[assignment]

__all__ = ["LOCK_FILE", "prepare_lock_file"]

LOCK_FILE = "lock.mdb"
_MAGIC = struct.pack("=I", 0xBEEFC0DE)
_BEGUN = bytes(len(_MAGIC))  # LMDB gives the file its size first: it may have died then, or another process is at it


def prepare_lock_file(generation: Path, data_file: Path) -> bool:
    """Whether this process may lock; a missing file is made, with owner and permissions of the data file.

    Raises `CorruptIndexError` when what is there is no lock file, `SameProcessIdError` when a process of another
    container is known in it by the number of this one.
    """
    path = generation / LOCK_FILE
    check_regular(path)
    try:
        descriptor = _opened(path, data_file)
    except OSError as error:
        if error.errno in REFUSED:
            return False
        raise
    try:
        _check(path, descriptor)
        _check_process_id(generation.parent, descriptor)
    finally:
        os.close(descriptor)
    return True


def _opened(path: Path, data_file: Path) -> int:
    try:
        return open_regular(path, os.O_RDWR)
    except FileNotFoundError:
        return create_like(path, data_file)


def _check(path: Path, descriptor: int) -> None:
    """LMDB writes its head into the file before it looks at it, so it must be LMDB's already, or have none."""
    status = os.fstat(descriptor)
    if status.st_nlink > 1:
        raise CorruptIndexError(
            f"{path} has other names (hard links), so it is not this index's alone: remove it, it is made anew"
        )
    if os.pread(descriptor, len(_MAGIC), 0) not in (b"", _BEGUN, _MAGIC):
        raise CorruptIndexError(f"{path} is not a lock file of LMDB: remove it, it is made anew")


def _check_process_id(index: Path, descriptor: int) -> None:
    """LMDB locks the byte of the process's number, for as long as the process has the environment open."""
    if fcntl is None:
        return
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, os.getpid())
    except (BlockingIOError, PermissionError):
        raise same_process_id(index) from None
