"""The life of an index that begins empty: adds, training, recall, retraining.

    PQSTORE_BENCH_DATA=... python -m benchmarks.building.life [--rows 40000] [--train auto|background]

Prints the durable add of one over a bare commit of the same bytes, recall@10 and the longest call while the index grows
one by one, what retraining costs over encoding alone, and what searches beside it wait.
"""

from __future__ import annotations

import argparse
import gc
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import lmdb
import numpy as np

import pqstore
from benchmarks.data import Dataset, load, machine, recall
from benchmarks.disk import disk_now


def add_of_one(place: Path, dim: int) -> None:
    """Beside a commit of one record with as many bytes as the vector has, in turns."""
    vectors = np.random.default_rng(0).standard_normal((400, dim)).astype(np.float32)
    env = lmdb.open(str(place / "bare"), map_size=1 << 30)
    ours, bare = [], []
    with pqstore.Index.create(place / "one", dim=dim, train_at=None) as index:
        index.add(vectors)
        for number, vector in enumerate(vectors):
            began = time.perf_counter()
            index.add(vector)
            middle = time.perf_counter()
            with env.begin(write=True) as txn:
                txn.put(number.to_bytes(8, "big"), vector.tobytes())
            ours.append(middle - began)
            bare.append(time.perf_counter() - middle)
    env.close()
    ratio = float(np.median(np.array(ours) / np.array(bare)))
    print(f"add of one, {dim} dimensions: {ratio:.2f} x a bare commit ({np.median(ours) * 1e3:.2f} ms)")


def grow(place: Path, data: Dataset, rows: int, train: str) -> None:
    """One by one; recall where the index stands at each tenth."""
    base, queries = data.base[:rows].astype(np.float32), data.queries.astype(np.float32)
    longest, least, found = 0.0, 1.0, 1.0
    with pqstore.Index.create(place / "grown", dim=base.shape[1], metric="cosine", train=train) as index:
        for number, vector in enumerate(base, 1):
            began = time.perf_counter()
            index.add(vector)
            longest = max(longest, time.perf_counter() - began)
            if number % (rows // 20) == 0:
                for thread in threading.enumerate():
                    if thread.name.startswith("pqstore "):
                        thread.join()
                found = recall(index.search(queries, k=10).ids, _truth(base[:number], queries), 10)
                if index.phase == "codes":
                    least = min(least, found)
        coded = recall(index.search(queries, k=10, rerank=0).ids, _truth(base, queries), 10)
        print(
            f"{rows:,} x {base.shape[1]} one by one, train={train!r}: longest call {longest * 1e3:,.0f} ms, "
            f"recall@10 after training at least {least:.4f}, at the end {found:.4f}, by codes alone {coded:.4f}, "
            f"drift {index.stats().drift:.2f}"
        )


def _truth(base: np.ndarray, queries: np.ndarray) -> np.ndarray:
    unit = base / np.maximum(np.linalg.norm(base, axis=1, keepdims=True), 1e-30)
    scores = queries @ unit.T
    near = np.argpartition(-scores, 10, axis=1)[:, :10]
    return np.take_along_axis(near, np.argsort(-np.take_along_axis(scores, near, axis=1), axis=1), axis=1)


class PeakMemory:
    """Of this process while a block runs, beyond what it had: its own pages, not those of files that it maps."""

    def __enter__(self) -> PeakMemory:
        gc.collect()
        self._ended, self._began = threading.Event(), _own_bytes()
        self.bytes = 0
        self._watch = threading.Thread(target=self._look)
        self._watch.start()
        return self

    def _look(self) -> None:
        while not self._ended.wait(0.01):
            self.bytes = max(self.bytes, _own_bytes() - self._began)

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._watch.join()


def _own_bytes() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) << 10
    raise SystemExit("needs Linux, which says how much memory is a process's own")


def retrain(place: Path, rows: int) -> None:
    """Of SIFT with jitter, over encoding alone; and searches beside it, with a thread less."""
    data = load("sift", rows)
    base, queries = data.base.astype(np.float32), data.queries.astype(np.float32)
    quantizer = pqstore.PQ(M=16, verbose=False).fit(base[:20_000])
    with pqstore.Index.create(place / "large", quantizer, originals="float16", bulk=True) as index:
        index.add(base)
    del data
    encoding, taken, peak = [], [], 0
    for _ in range(3):
        began = time.perf_counter()
        quantizer.encode(base)
        encoding.append(time.perf_counter() - began)
        with pqstore.Index.open(place / "large") as index, PeakMemory() as memory:
            began = time.perf_counter()
            index.retrain()
            taken.append(time.perf_counter() - began)
        peak = max(peak, memory.bytes)
    del base
    print(
        f"retrain of {rows:,} x 128: {min(taken):.1f} s, {min(taken) / min(encoding):.2f} x encoding; "
        f"peak memory +{peak >> 20} MB"
    )
    with pqstore.Index.open(place / "large") as index:
        alone = list(_searches(index, queries, 1000))
        during: list[float] = []
        for _ in range(3):
            work = threading.Thread(target=index.retrain, kwargs={"threads": max(1, (os.cpu_count() or 2) - 1)})
            work.start()
            during += _searches(index, queries, None, work)
        print(
            f"searches of {rows:,} x 128, one thread, beside a retrain with a thread less than cores: p99 "
            f"{np.percentile(during, 99) * 1e3:.2f} ms over {np.percentile(alone, 99) * 1e3:.2f} ms alone, "
            f"{np.percentile(during, 99) / np.percentile(alone, 99):.2f} x ({len(during)} searches); "
            f"median {np.median(during) / np.median(alone):.2f} x, longest {max(during) * 1e3:.1f} ms"
        )


def _searches(
    index: pqstore.Index, queries: np.ndarray, count: int | None, until: threading.Thread | None = None
) -> Iterator[float]:
    """Seconds of one search after another: so many, or until a thread has ended."""
    number = 0
    while number < count if count is not None else until is not None and until.is_alive():
        began = time.perf_counter()
        index.search(queries[number % len(queries)], k=10, rerank=0, threads=1)
        yield time.perf_counter() - began
        number += 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=40_000)
    parser.add_argument("--retrain-rows", type=int, default=1_000_000)
    parser.add_argument("--only", choices=("add", "grow", "retrain"), nargs="*", default=["add", "grow", "retrain"])
    parser.add_argument("--train", choices=("auto", "background"), nargs="*", default=["auto", "background"])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as directory:
        place = Path(directory)
        print(machine(), disk_now(place), f"load {os.getloadavg()[0]:.1f}")
        for dim in (384, 1536) if "add" in options.only else ():
            (place / str(dim)).mkdir()
            add_of_one(place / str(dim), dim)
        for train in options.train if "grow" in options.only else ():
            (place / train).mkdir()
            grow(place / train, load("minilm"), options.rows, train)
        if "retrain" in options.only:
            retrain(place, options.retrain_rows)


if __name__ == "__main__":
    main()
