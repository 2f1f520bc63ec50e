"""Lists of 16 and 50 million rows: made, searched warm and cold, in one run and in those that merging leaves.

    python -m benchmarks.search.many_rows build partition search --rows 50000000 --directory DIR
    python -m benchmarks.search.many_rows build partition search --rows 16250000 --first 4194304 --directory DIR

Prints Markdown. Needs the data of `data.py`, and 50 bytes a row in DIR, where the index stays for the next call: each
step can be called by itself. Rows are the codes of `sift` again and again, with some sub-codes changed into near ones:
they say something of speed, memory and bytes, nothing of recall. With `--first` so many rows are partitioned, the
others come afterwards and are merged as ever; "search" then compares the runs with a compacted copy. One thread but
for "partition".
"""

from __future__ import annotations

import argparse
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import pqstore
from benchmarks.building.large_build import PeakMemory
from benchmarks.data import load, machine
from benchmarks.timing import one_query_at_a_time

BLOCK, QUERIES, BUDGETS = 1 << 18, 100, ((30_000_000, 170_000), (0, 75_000))
CHANGED, NEAR = 4, 8  # sub-codes of a row, and how many near ones each may become


def near_codewords(codewords: np.ndarray) -> np.ndarray:
    """uint8 (M, Ks, NEAR): which codewords lie next to each."""
    distances = ((codewords[:, :, None] - codewords[:, None]) ** 2).sum(axis=3)
    return np.argsort(distances, axis=2)[:, :, 1 : NEAR + 1].astype(np.uint8)


def jittered(codes: np.ndarray, near: np.ndarray, rows: int) -> Iterator[np.ndarray]:
    """Blocks of codes (n, M): the first rows as they are, then copies with some sub-codes changed."""
    rng, M = np.random.default_rng(0), codes.shape[1]
    for start in range(0, rows, BLOCK):
        count = min(BLOCK, rows - start)
        block = codes[np.arange(start, start + count) % len(codes)]
        if start >= len(codes):
            at = np.arange(count)
            for _ in range(CHANGED):
                m = rng.integers(0, M, count)
                block[at, m] = near[m, block[at, m], rng.integers(0, NEAR, count)]
        yield block


def build(path: Path, rows: int, first: int | None) -> None:
    data = load("sift")
    began = time.perf_counter()
    pq = pqstore.PQ(M=16, verbose=False).fit(data.train.astype(np.float32), iter=10)
    codes, near = pq.encode(data.base), near_codewords(pq.codewords)
    done = 0
    with pqstore.Index.create(path, pq, bulk=True) as index:
        for block in jittered(codes, near, rows):
            index.add_codes(block)
            done += len(block)
            if first is not None and done >= first:
                break
    if first is not None:
        with pqstore.Index.open(path) as index:
            index.partition(16_384)
            for place, block in enumerate(jittered(codes, near, rows)):
                if place * BLOCK >= done:
                    index.add_codes(block)
    print(f"| build | {time.perf_counter() - began:.0f} s |")


def partition(path: Path) -> None:
    """Memory is the process's own at its peak, beyond what it had before the call."""
    with pqstore.Index.open(path) as index:
        index.partition(None)
        index.compact()
        stats = index.stats()
        before, M = stats.used_bytes, index.quantizer.M
        began = time.perf_counter()
        with PeakMemory() as peak:
            at_start = peak.megabytes
            report = index.partition()
        taken = time.perf_counter() - began
        print(f"| partition(), all cores: {report} | {taken:.0f} s, {peak.megabytes - at_start:,.0f} MB of memory |")
        index.compact()
        extra = (index.stats().used_bytes - before) / len(index)
        print(f"| bytes a row beyond those without lists, after compact() | M + {extra - M:.2f} |")


def search(path: Path) -> None:
    with pqstore.Index.open(path) as index:
        runs, compacted = index.stats().lists.runs, path.with_name(path.name + "-compacted")
        indexes = {f"lists, {runs} runs": index}
        if runs > 1:
            if not compacted.exists():
                shutil.copytree(path, compacted)
            indexes["lists, one run"] = one = pqstore.Index.open(compacted)
            if one.stats().lists.runs > 1:
                one.compact()
        budget = next(budget for rows, budget in BUDGETS if len(index) >= rows)
        queries = load("sift").queries.astype(np.float32)[:QUERIES]
        calls = {}
        for name, each in indexes.items():
            for scan in (1, budget):
                calls[f"{name}, scan={scan:,}"] = lambda q, each=each, scan=scan: each.search(
                    q, 10, threads=1, scan=scan
                )
        for call in calls.values():
            call(queries)  # every chunk that is wanted is in memory and was checked
        for name, taken in one_query_at_a_time(calls, queries, 5).items():
            print(f"| {name} | {taken * 1e3:.0f} us |")
        flat = one_query_at_a_time({"flat": lambda q: index.search(q, 10, threads=1, nprobe="all")}, queries[:10], 2)
        print(f"| every code | {flat['flat']:.1f} ms |")
        read = index.search(queries, 10, explain=True, scan=budget).plan.lists
        print(
            f"| rows; lists; pieces read, rows in no list | {read.rows_read:,.0f}; {read.lists_read:.0f}; "
            f"{read.pieces_read:.0f}; {read.flat_rows:,} |"
        )
        for each in indexes.values():
            each.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("steps", nargs="+", choices=("build", "partition", "search"))
    parser.add_argument("--rows", type=int, default=50_000_000)
    parser.add_argument("--first", type=int, help="rows that are partitioned before the others come")
    parser.add_argument("--directory", type=Path, required=True, help="on a disk with 50 bytes a row left")
    options = parser.parse_args()
    path = options.directory / f"many-rows-{options.rows}{'' if options.first is None else '-in-runs'}"
    print(f"{machine()}, kernels {pqstore.kernels.active().name}\n\n| {options.rows:,} rows | |\n|---|---|")
    for step in options.steps:
        if step == "build":
            build(path, options.rows, options.first)
        elif step == "partition":
            partition(path)
        else:
            search(path)


if __name__ == "__main__":
    main()
