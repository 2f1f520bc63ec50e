"""Where originals could lie: a record a row in LMDB, a record a block, or one file beside it. Bytes and times.

    python -m benchmarks.storage.originals_layouts [--rows 400000] [--row-bytes 256]

Prints Markdown. The 100 rows of a query are read in ascending order. Cold: after the system was told to forget the file
(posix_fadvise), without read-ahead; bytes are those that the process caused to be read from the disk. Use a directory
on a real disk: PQSTORE_BENCH_DISK.
"""

from __future__ import annotations

import argparse
import mmap
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import lmdb
import numpy as np

from benchmarks.data import machine
from benchmarks.disk import bytes_read

CANDIDATES = 100
BLOCKS = (16, 64)  # rows a record
RNG = np.random.default_rng(0)

Read = Callable[[np.ndarray], list[bytes]]


def write_records(path: Path, rows: np.ndarray, block: int) -> None:
    """An LMDB environment with a record for every `block` rows, in ascending order."""
    with (
        lmdb.open(str(path), map_size=1 << 34, sync=False) as env,
        env.begin(write=True) as txn,
        txn.cursor() as cursor,
    ):
        cursor.putmulti(
            [(at.to_bytes(8, "big"), rows[at : at + block].tobytes()) for at in range(0, len(rows), block)], append=True
        )


def open_records(path: Path, size: int, block: int) -> tuple[Read, Callable[[], None]]:
    env = lmdb.open(str(path), map_size=1 << 34, readonly=True, lock=False, readahead=False)

    def read(wanted: np.ndarray) -> list[bytes]:
        found = []
        with env.begin(buffers=True) as txn:
            for row in wanted.tolist():
                value = txn.get((row - row % block).to_bytes(8, "big"))
                at = row % block * size
                found.append(bytes(value[at : at + size]))
        return found

    return read, env.close


def open_file(path: Path, size: int) -> tuple[Read, Callable[[], None]]:
    with path.open("rb") as file:
        content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    content.madvise(mmap.MADV_RANDOM)

    def read(wanted: np.ndarray) -> list[bytes]:
        return [content[row * size : (row + 1) * size] for row in wanted.tolist()]

    return read, content.close


def forget(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    os.fdatasync(descriptor)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(descriptor)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=400_000)
    parser.add_argument("--row-bytes", type=int, default=256, help="default 256: float16 of 128 dimensions")
    options = parser.parse_args()
    size = options.row_bytes
    rows = RNG.integers(0, 256, (options.rows, size), dtype=np.uint8)
    queries = [np.sort(RNG.choice(options.rows, CANDIDATES, replace=False)) for _ in range(60)]
    with tempfile.TemporaryDirectory(dir=os.environ.get("PQSTORE_BENCH_DISK")) as scratch:
        directory = Path(scratch)
        layouts: dict[str, tuple[Path, Callable[[], tuple[Read, Callable[[], None]]]]] = {}
        for block in (1, *BLOCKS):
            path = directory / f"records-{block}"
            write_records(path, rows, block)
            name = "LMDB, a record a row" if block == 1 else f"LMDB, a record for {block} rows"
            layouts[name] = (path / "data.mdb", lambda path=path, block=block: open_records(path, size, block))
        (directory / "file").write_bytes(rows.tobytes())
        layouts["a file beside LMDB"] = (directory / "file", lambda: open_file(directory / "file", size))
        cold: dict[str, list[tuple[float, float]]] = {name: [] for name in layouts}
        warm: dict[str, list[float]] = {name: [] for name in layouts}
        for wanted in queries[:15]:
            for name, (file, opening) in layouts.items():
                forget(file)
                read, close = opening()
                before, begin = bytes_read(), time.perf_counter()
                found = read(wanted)
                cold[name].append((time.perf_counter() - begin, bytes_read() - before))
                assert found == [rows[row].tobytes() for row in wanted]
                close()
        opened = {name: opening() for name, (_, opening) in layouts.items()}
        for file, _ in layouts.values():
            file.read_bytes()
        for _ in range(5):
            for wanted in queries:
                for name, (read, _) in opened.items():
                    begin = time.perf_counter()
                    read(wanted)
                    warm[name].append(time.perf_counter() - begin)
        for _, close in opened.values():
            close()
        print(f"{machine()}; {options.rows:,} rows of {size} bytes, {CANDIDATES} of them read\n")
        print(
            "| layout | bytes on disk a row | cold: bytes over 100 pages | cold ms | warm us |\n|---|---|---|---|---|"
        )
        for name, (file, _) in layouts.items():
            seconds, read_bytes = np.median(np.array(cold[name]), axis=0)
            print(
                f"| {name} | {file.stat().st_size / options.rows:.0f} | {read_bytes / (CANDIDATES * 4096):.2f} | "
                f"{seconds * 1e3:.1f} | {np.median(warm[name]) * 1e6:.0f} |"
            )


if __name__ == "__main__":
    main()
