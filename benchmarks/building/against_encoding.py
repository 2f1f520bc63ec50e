"""Building and searching against what is left when storing is taken away: encoding alone, memory without a limit.

    python -m benchmarks.building.against_encoding [--rows 1000000] [--only codes,build,memory] [--directory DIR]

Vectors are `sift` again and again with a little noise. One thread. Ratios are medians of interleaved runs.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

import pqstore
from benchmarks.data import load, machine
from benchmarks.disk import disk_now

TURNS = 5
BLOCK = 65_536  # rows encoded at a time


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def show(what: str, value: str, bar: str = "") -> None:
    print(f"  {what:<62} {value:>28}   bar | aim: {bar}", flush=True)


def fresh(directory: Path) -> Path:
    return directory / f"{time.monotonic_ns()}.pqs"


def codes(directory: Path, rows: int) -> None:
    """`add_codes` of rows of 128 codes with random int64 ids: durable, and building with bulk=True."""
    rng = np.random.default_rng(1)
    pq = pqstore.PQ(M=128, verbose=False).fit(rng.standard_normal((1000, 128)).astype(np.float32), iter=1)
    given = np.frombuffer(rng.bytes(rows * 128), dtype=np.uint8).reshape(rows, 128)
    ids = rng.integers(-(2**63), 2**63 - 1, rows)
    for name, bulk in (("durable", False), ("bulk=True, with publish()", True)):
        times = []
        for _ in range(TURNS):
            path = fresh(directory)
            index = pqstore.Index.create(path, pq, bulk=bulk)

            def add(index: pqstore.Index = index, bulk: bool = bulk) -> None:
                index.add_codes(given, ids)
                if bulk:
                    index.publish()

            times.append(seconds(add))
            index.close()
            shutil.rmtree(path)
        rate = rows / float(np.median(times))
        show(f"add_codes of {rows:,} x 128, random int64 ids, {name}", f"{rate / 1e6:.2f} M rows/s", "1 | 3 M rows/s")


def build(directory: Path, rows: int) -> None:
    """A whole build over encoding the same blocks."""
    data = load("sift", rows)
    for M in (16, 32):
        pq = pqstore.PQ(M=M, verbose=False).fit(data.train, iter=5)

        def encode(pq: pqstore.PQ = pq) -> None:
            for start in range(0, rows, BLOCK):
                pq.encode(data.base[start : start + BLOCK], threads=1)

        for name, ids in (("automatic ids", None), ("random ids", np.random.default_rng(2).permutation(rows) * 7)):
            ratios = []
            for _ in range(TURNS):
                path = fresh(directory)

                def whole(pq: pqstore.PQ = pq, ids: np.ndarray | None = ids, path: Path = path) -> None:
                    with pqstore.Index.create(path, pq, bulk=True) as index:
                        index.add(data.base, ids, threads=1)

                alone = seconds(encode)
                together = seconds(whole)
                ratios.append(together / alone)
                shutil.rmtree(path)
            ratio = float(np.median(ratios))
            show(f"build of {rows:,} rows, M {M}, {name}, over encode alone", f"{ratio:.2f} x", "1.3 | 1.1 x")


@contextmanager
def memory_group(limit: int) -> Iterator[Path | None]:
    """A control group under ours with so much memory, page cache included; None where we have no right to make one."""
    ours = next(
        (line.split(":", 2)[2] for line in Path("/proc/self/cgroup").read_text().splitlines() if ":memory:" in line),
        None,
    )
    group = Path(f"/sys/fs/cgroup/memory{ours}/pqstore-{os.getpid()}")
    try:
        if ours is None:
            group = Path(f"/sys/fs/cgroup/pqstore-{os.getpid()}")
        group.mkdir()
        (group / ("memory.max" if ours is None else "memory.limit_in_bytes")).write_text(str(limit))
    except OSError:
        yield None
        return
    try:
        yield group
    finally:
        group.rmdir()


def memory(directory: Path, rows: int) -> None:
    """Searches of an index larger than the memory that the process may have: same answers, and their time."""
    rng = np.random.default_rng(3)
    pq = pqstore.PQ(M=64, verbose=False).fit(rng.standard_normal((1000, 64)).astype(np.float32), iter=1)
    queries = rng.standard_normal((10, 64)).astype(np.float32)
    path = fresh(directory)
    given = np.frombuffer(rng.bytes(rows * 64), dtype=np.uint8).reshape(rows, 64)
    with pqstore.Index.create(path, pq, bulk=True) as index:
        index.add_codes(given)
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    limit = size // 4

    def search() -> tuple[np.ndarray, np.ndarray, float]:
        with pqstore.Index.open(path) as index:
            began = time.perf_counter()
            found = [index.search(query, k=10, threads=1) for query in queries]
            took = (time.perf_counter() - began) / len(queries)
            return np.stack([f.ids for f in found]), np.stack([f.distances for f in found]), took

    search()
    ids, distances, free = search()
    with memory_group(limit) as group:
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                if group is not None:
                    (group / "cgroup.procs").write_text(str(os.getpid()))
                resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
                descriptor = os.open(next(path.rglob("data.mdb")), os.O_RDONLY)
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)  # so that it is this group that reads it
                os.close(descriptor)
                its_ids, its_distances, took = search()
                assert np.array_equal(its_ids, ids)
                assert np.array_equal(its_distances, distances)
                os.write(writer, f"{took}".encode())
                status = 0
            finally:
                os._exit(status)
        os.close(writer)
        answer = os.read(reader, 100)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        kind = "page cache too" if group is not None else "without the page cache"
    show(
        f"index of {size / 1e6:.0f} MB in {limit / 1e6:.0f} MB of memory ({kind})",
        f"same answers, {1e3 * float(answer):.0f} ms a search",
        "works, same answers",
    )
    show("... without a limit", f"{1e3 * free:.0f} ms a search")
    shutil.rmtree(path)


FIGURES = {"codes": codes, "build": build, "memory": memory}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--only", default=",".join(FIGURES))
    parser.add_argument("--directory", type=Path, default=None, help="on the disk to be measured")
    options = parser.parse_args()
    print(f"pqstore {pqstore.__version__}, kernel {pqstore.kernels.active().name}, {machine()}")
    for name in options.only.split(","):
        with tempfile.TemporaryDirectory(dir=options.directory or Path.cwd()) as directory:
            print(name)
            print(f"  {disk_now(Path(directory))}")
            FIGURES[name](Path(directory), options.rows)


if __name__ == "__main__":
    main()
