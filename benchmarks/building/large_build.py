"""A large index built from vectors that are made as they are read: the figures of docs/howto/fifty-million.md.

    python -m benchmarks.building.large_build [--rows 10000000]

The vectors are `sift` again and again with a little noise. Making them is timed apart from the build.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import pqstore
from benchmarks.data import load, machine
from benchmarks.disk import disk_now

BLOCK = 65_536


class Source:
    """Blocks of `sift`, each copy but the first with noise; `seconds` is the time that making them took."""

    def __init__(self, base: np.ndarray, rows: int) -> None:
        self._base, self._rows, self.seconds = base, rows, 0.0
        # Noise is drawn once and shifted: drawing 6 billion numbers would take longer than the build.
        self._noise = np.random.default_rng(0).integers(-3, 4, (BLOCK * 2, base.shape[1]), dtype=np.int8)

    def __iter__(self) -> Iterator[np.ndarray]:
        rng = np.random.default_rng(1)
        for start in range(0, self._rows, BLOCK):
            began = time.perf_counter()
            count = min(BLOCK, self._rows - start)
            rows = np.arange(start, start + count) % len(self._base)
            block = self._base[rows]
            if start >= len(self._base):
                shift = rng.integers(0, BLOCK)
                noisy = block.astype(np.int16) + self._noise[shift : shift + count]
                block = np.clip(noisy, 0, 255, out=noisy).astype(np.uint8)
            self.seconds += time.perf_counter() - began
            yield block


class PeakMemory(threading.Thread):
    """The most memory of its own that the process had at a time, looked at ten times a second: RssAnon, which leaves
    out the pages of files."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.megabytes = 0.0
        self._done = threading.Event()

    def run(self) -> None:
        while not self._done.wait(0.1):
            self.look()

    def look(self) -> None:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                self.megabytes = max(self.megabytes, int(line.split()[1]) / 1024)

    def __enter__(self) -> PeakMemory:
        self.look()
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self.join()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--M", type=int, default=16)
    parser.add_argument("--directory", type=Path, default=None, help="on the disk to be measured")
    rows, M = (options := parser.parse_args()).rows, options.M
    data = load("sift")
    print(f"pqstore {pqstore.__version__}, kernel {pqstore.kernels.active().name}, {machine()}, ", end="")
    print(f"load {os.getloadavg()[0]:.1f} before the run\n")
    print(f"| {rows:,} jittered SIFT vectors, M = {M} | |\n|---|---|")
    with tempfile.TemporaryDirectory(dir=options.directory) as directory:
        path = Path(directory) / "index"
        began = time.perf_counter()
        pq = pqstore.PQ(M=M, verbose=False).fit(data.train)
        print(f"| train on {len(data.train):,} vectors | {time.perf_counter() - began:.1f} s |")
        print(f"| before the build | {disk_now(Path(directory))} |")
        source = Source(data.base, rows)
        began = time.perf_counter()
        with PeakMemory() as peak:
            before = peak.megabytes
            with pqstore.Index.create(path, pq, bulk=True) as index:
                index.add(iter(source))
        seconds = time.perf_counter() - began - source.seconds
        print(f"| build, without the {source.seconds:.0f} s of making vectors | {seconds:.0f} s |")
        print(f"| rows a second | {rows / seconds:,.0f} |")
        print(f"| own memory at its peak, beside the page cache | {peak.megabytes:,.0f} MB, {before:,.0f} MB before |")
        for _ in range(5):
            pqstore.Index.open(path).close()
        began = time.perf_counter()
        with pqstore.Index.open(path) as index:
            print(f"| open | {(time.perf_counter() - began) * 1e3:.1f} ms |")
            stats = index.stats()
            print(f"| on the disk | {stats.disk_bytes / 1e6:,.0f} MB, {stats.disk_bytes / rows:.2f} bytes a vector |")
            queries = data.queries[:20]
            for threads in (1, None):
                times = []
                for query in queries:
                    began = time.perf_counter()
                    index.search(query, k=10, threads=threads)
                    times.append(time.perf_counter() - began)
                name = "one thread" if threads else "all cores"
                print(f"| a warm search, k = 10, {name} | {np.median(times) * 1e3:.0f} ms |")


if __name__ == "__main__":
    main()
