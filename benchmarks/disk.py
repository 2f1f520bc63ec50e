"""What the disk gives at the moment: printed beside the figures that hang on it, because machines are shared."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np

__all__ = ["bytes_read", "disk_now", "drop_cache"]

_SYNCS = 200
_BLOCK = 16 << 20
_BLOCKS = 16


def disk_now(directory: Path) -> str:
    """fsync of one page (p50) and sequential writing, with the load of the machine, in words."""
    file = directory / "probe"
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT)
    try:
        times = []
        for at in range(_SYNCS):
            os.pwrite(descriptor, bytes([at]) * 4096, 4096 * at)
            began = time.perf_counter()
            os.fdatasync(descriptor)
            times.append(time.perf_counter() - began)
        block = os.urandom(1 << 20) * (_BLOCK >> 20)
        began = time.perf_counter()
        for at in range(_BLOCKS):
            os.pwrite(descriptor, block, at * _BLOCK)
        os.fdatasync(descriptor)
        rate = _BLOCKS * _BLOCK / (time.perf_counter() - began) / 1e6
    finally:
        os.close(descriptor)
        file.unlink()
    return f"disk: fsync p50 {1e3 * float(np.median(times)):.2f} ms, {rate:.0f} MB/s; load {os.getloadavg()[0]:.1f}"


def bytes_read() -> int:
    return int(Path("/proc/self/io").read_text().split("read_bytes:")[1].split()[0])


def drop_cache(path: Path) -> None:
    """Let the system forget the pages of every file below `path`."""
    for file in path.rglob("*"):
        if file.is_file():
            with file.open("rb") as handle:
                os.fdatasync(handle.fileno())
                os.posix_fadvise(handle.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
