"""The main job on real vectors: exact answers, recall beside Faiss, opening time, memory.

    python -m benchmarks.search.main_job

Prints Markdown. Needs the data of `data.py`, and faiss-cpu for the recall beside it.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import pqstore
from benchmarks.data import ROOT, load, machine, recall

CONFIGURATIONS = (("sift", 16, 256), ("sift", 32, 256), ("minilm", 48, 256), ("minilm", 96, 16))


def brute_force(pq: pqstore.PQ, codes: np.ndarray, live: np.ndarray, queries: np.ndarray, k: int) -> tuple:
    """The k nearest rows among `live` by a plain float32 sum over all codes, ties by row."""
    ids, distances = [], []
    for query in queries:
        every = pq.dtable(query).adist(codes[live])
        order = np.argsort(every, kind="stable")[:k]
        ids.append(live[order])
        distances.append(every[order])
    return np.array(ids), np.array(distances)


def compare(index: pqstore.Index, codes: np.ndarray, live: np.ndarray, queries: np.ndarray) -> str:
    ids, distances = brute_force(index.quantizer, codes, live, queries, 100)
    found = index.search(queries, k=100)
    same = np.array_equal(found.ids, ids) and np.array_equal(found.distances, distances)
    singles = all(np.array_equal(index.search(q, k=100).ids, i) for q, i in zip(queries, ids, strict=True))
    return "identical" if same and singles else "DIFFERENT"


def exactness_and_recall(directory: Path, queries_compared: int) -> None:
    print("| data | M x Ks | rows | fit s | build s | exact | after removing 10 % | reopened | "
          "recall@1/10/100 | Faiss IndexPQ recall@10 | open to first answer ms |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for name, M, Ks in CONFIGURATIONS:
        data = load(name)
        train, queries = data.train.astype(np.float32), data.queries.astype(np.float32)
        some = queries[:queries_compared]
        started = time.perf_counter()
        pq = pqstore.PQ(M=M, Ks=Ks, verbose=False).fit(train, iter=25)
        fitted = time.perf_counter()
        path = directory / f"{name}-{M}-{Ks}"
        with pqstore.Index.create(path, pq) as index:
            index.add(data.base)
            built = time.perf_counter()
            codes = pq.encode(data.base)
            rows = np.arange(len(codes))
            exact = compare(index, codes, rows, some)
            found = index.search(queries, k=100).ids
            gone = np.random.default_rng(0).choice(len(codes), len(codes) // 10, replace=False)
            index.remove(gone)
            live = np.setdiff1d(rows, gone)
            removed = compare(index, codes, live, some)
        opening = []
        for _ in range(9):
            begin = time.perf_counter()
            with pqstore.Index.open(path) as index:
                index.search(queries[0])
                opening.append(time.perf_counter() - begin)
        with pqstore.Index.open(path) as index:
            reopened = compare(index, codes, live, some)
        recalls = "/".join(f"{recall(found, data.neighbors, k):.3f}" for k in (1, 10, 100))
        print(
            f"| {name} | {M} x {Ks} | {len(codes):,} | {fitted - started:.1f} | {built - fitted:.1f} | {exact} | "
            f"{removed} | {reopened} | {recalls} | {faiss_recall(data, M, Ks)} | {np.median(opening) * 1e3:.1f} |",
            flush=True,
        )


def faiss_recall(data: object, M: int, Ks: int) -> str:
    try:
        import faiss
    except ImportError:
        return "(faiss-cpu is not installed)"
    index = faiss.IndexPQ(data.base.shape[1], M, int(np.log2(Ks)))
    index.train(data.train.astype(np.float32))
    index.add(data.base.astype(np.float32))
    return f"{recall(index.search(data.queries.astype(np.float32), 10)[1], data.neighbors, 10):.3f}"


PEAK = """
import sys, threading, time
import numpy as np, pqstore
def anonymous():  # private memory: pages of mapped files can be dropped by the system at any time
    return int(next(l for l in open("/proc/self/status") if l.startswith("RssAnon")).split()[1]) / 1024
peak, stop = 0.0, False
def watch():
    global peak
    while not stop:
        peak = max(peak, anonymous()); time.sleep(0.002)
threading.Thread(target=watch, daemon=True).start()
verb, vectors, path, quantizer = sys.argv[1:]
array = np.load(vectors, mmap_mode="r")
if verb == "build":
    pq = pqstore.PQ.load(quantizer); start = anonymous(); peak = start
    with pqstore.Index.create(path, pq) as index: index.add(array)
else:
    with pqstore.Index.open(path) as index:
        start = anonymous(); peak = start
        for n in range(20): index.search(np.asarray(array[n], dtype=np.float32), k=10)
        index.search(np.asarray(array[:200], dtype=np.float32), k=10)
time.sleep(0.01); print(f"{peak - start:.0f}")
"""


def memory(directory: Path) -> None:
    print("\nPeak private memory over the start, MB (jittered `sift`, M 16):\n")
    print("| rows | build | search |")
    print("|---|---|---|")
    pq = pqstore.PQ(M=16, verbose=False).fit(load("sift").train[:10_000], iter=5)
    pq.save(directory / "pq.npz")
    for rows in (100_000, 400_000, 1_600_000):
        np.save(directory / "vectors.npy", load("sift", rows).base)
        figures = []
        for verb in ("build", "search"):
            arguments = [verb, directory / "vectors.npy", directory / f"memory-{rows}", directory / "pq.npz"]
            done = subprocess.run(
                [sys.executable, "-c", PEAK, *map(str, arguments)], capture_output=True, text=True, check=True, cwd=ROOT
            )
            figures.append(done.stdout.strip())
        print(f"| {rows:,} | {' | '.join(figures)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--queries", type=int, default=50, help="queries compared with brute force (default 50)")
    options = parser.parse_args()
    print(f"pqstore {pqstore.__version__}, kernel {pqstore.kernels.active().name}, {machine()}\n")
    with tempfile.TemporaryDirectory() as directory:
        exactness_and_recall(Path(directory), options.queries)
        memory(Path(directory))


if __name__ == "__main__":
    main()
