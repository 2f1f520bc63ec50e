"""The main job on real data: train, build, search, remove, close, reopen.

10,000 SIFT descriptors of photographs, 200 queries with their true nearest neighbours (see examples/data/README.md).
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np

import pqstore

DATA = Path(__file__).parent / "data"


def recall(found: np.ndarray, truth: np.ndarray, k: int) -> float:
    """Mean share of the true k nearest among the first k found."""
    return float(np.mean([len(np.intersect1d(a[:k], b[:k])) / k for a, b in zip(found, truth, strict=True)]))


def main() -> None:
    base, train, queries, truth = (np.load(DATA / f"{name}.npy") for name in ("base", "train", "queries", "neighbors"))
    print(f"{len(base):,} SIFT descriptors of {base.shape[1]} dimensions; kernel: {pqstore.kernels.active().name}")

    started = time.perf_counter()
    pq = pqstore.PQ(M=16, verbose=False).fit(train)
    print(f"train    PQ with 16 sub-spaces of 256 codewords: {time.perf_counter() - started:.2f} s")

    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "index"
        with pqstore.Index.create(path, pq) as index:
            started = time.perf_counter()
            index.add(base)
            seconds = time.perf_counter() - started
            stats = index.stats()
            print(f"build    {len(index):,} vectors in {seconds:.2f} s, on the disk when add() returned")
            print(f"size     {base.shape[1] * 4} bytes a float32 vector -> {stats.code_bytes} bytes a code")

            result = index.search(queries, k=100)
            recalls = ", ".join(f"recall@{k} {recall(result.ids, truth, k):.3f}" for k in (1, 10, 100))
            print(f"search   {recalls}")
            times = []
            for query in queries:
                started = time.perf_counter()
                index.search(query, k=10)
                times.append(time.perf_counter() - started)
            print(f"         {np.median(times) * 1e3:.3f} ms a query, one by one (median of {len(times)})")

            gone = result.ids[:, 0]
            count = index.remove(np.unique(gone))
            print(f"remove   the nearest of every query: {count} vectors")

        with pqstore.Index.open(path) as index:
            again = index.search(queries, k=100)
            assert not np.isin(again.ids, gone).any()
            assert len(index) == len(base) - count
            print(f"reopen   {len(index):,} vectors, none of the removed ones found")
            assert index.verify(deep=True) == []
            print("verify   sound")


if __name__ == "__main__":
    main()
