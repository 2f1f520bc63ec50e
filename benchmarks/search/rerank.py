"""Re-ranking: recall, time over codes alone, bytes read when nothing is cached, time to recall 0.98 beside Faiss.

    python -m benchmarks.search.rerank

Prints Markdown. Needs the data of `data.py`; faiss-cpu for the last table.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

import numpy as np

import pqstore
from benchmarks.data import load, machine, recall
from benchmarks.disk import bytes_read, drop_cache
from benchmarks.timing import one_query_at_a_time

COLD_ROWS = 200_000
CASES = (("minilm", 48, "float16"), ("minilm", 48, "int8"), ("sift", 16, "float16"), ("sift", 16, "int8"))


def build(directory: Path, name: str, M: int, kind: str) -> tuple:
    data = load(name)
    pq = pqstore.PQ(M=M, verbose=False).fit(data.train[:20_000].astype(np.float32), iter=12)
    index = pqstore.Index.create(directory / f"{name}-{kind}", pq, originals=kind)
    index.add(data.base)
    return data, index


def asked(index: pqstore.Index) -> dict:
    """Searches by codes alone and re-ranked."""
    return {
        "codes": lambda query: index.search(query, 10, threads=1),
        "rerank": lambda query: index.search(query, 10, threads=1, rerank=100),
    }


def cold(path: Path, queries: np.ndarray) -> float:
    """Bytes read from the disk for the originals of 100 candidates, over 100 pages, the median of some queries."""
    ratios = []
    for query in queries:
        with pqstore.Index.open(path) as index:
            index.search(query, k=100)  # codes and ids are in memory; originals are not
            drop_cache(next(path.glob("generation-*")) / "originals")
            before = bytes_read()
            index.search(query, k=10, rerank=100)
            ratios.append((bytes_read() - before) / (100 * 4096))
    return float(np.median(ratios))


def cold_times(path: Path, queries: np.ndarray) -> tuple[float, float]:
    """Milliseconds of a search that re-ranks 100, when originals are not in memory and when they are: medians."""
    times: dict[bool, list[float]] = {True: [], False: []}
    with pqstore.Index.open(path) as index:
        originals = next(path.glob("generation-*")) / "originals"
        for query in queries:
            for is_cold, taken in times.items():
                if is_cold:
                    drop_cache(originals)
                began = time.perf_counter()
                index.search(query, k=10, rerank=100, threads=1)
                taken.append(time.perf_counter() - began)
    return float(np.median(times[True])) * 1e3, float(np.median(times[False])) * 1e3


def beside_faiss(data, index) -> None:
    try:
        import faiss
    except ImportError:
        print("\n(faiss-cpu is not installed: no comparison)")
        return
    faiss.omp_set_num_threads(1)
    base, queries = data.base.astype(np.float32), data.queries.astype(np.float32)
    M = index.quantizer.M
    inner = faiss.IndexPQ(base.shape[1], M, 8)
    inner.train(data.train[:20_000].astype(np.float32))
    refine = faiss.IndexScalarQuantizer(base.shape[1], faiss.ScalarQuantizer.QT_fp16)
    refine.train(base[:1000])
    theirs = faiss.IndexRefine(inner, refine)
    theirs.add(base)
    ours_rerank, theirs_rerank = None, None
    for rerank in (50, 75, 100, 150, 200, 300, 500):
        if ours_rerank is None and recall(index.search(queries, 10, rerank=rerank).ids, data.neighbors, 10) >= 0.98:
            ours_rerank = rerank
        theirs.k_factor = rerank / 10
        if theirs_rerank is None and recall(theirs.search(queries, 10)[1], data.neighbors, 10) >= 0.98:
            theirs_rerank = rerank
    theirs.k_factor = (theirs_rerank or 500) / 10
    times = one_query_at_a_time(
        {
            "ours": lambda q: index.search(q, 10, threads=1, rerank=ours_rerank or 500),
            "theirs": lambda q: theirs.search(q[None], 10),
        },
        queries[:60],
        3,
    )
    print(
        f"\nTo recall@10 0.98 on {data.name}: pqstore rerank {ours_rerank} {times['ours']:.2f} ms, Faiss IndexPQ + "
        f"IndexRefine (float16) {theirs_rerank} {times['theirs']:.2f} ms: {times['theirs'] / times['ours']:.1f} x"
    )


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    print(f"pqstore {pqstore.__version__}, kernel {pqstore.kernels.active().name}, {machine()}, one thread\n")
    print("| data | M | originals | recall@10 | reranked | ms | reranked | ratio | cold: bytes over pages |")
    print("|---|---|---|---|---|---|---|---|---|")
    kept = None
    with tempfile.TemporaryDirectory(dir=os.environ.get("PQSTORE_BENCH_DISK")) as directory:
        for name, M, kind in CASES:
            data, index = build(Path(directory), name, M, kind)
            queries = data.queries.astype(np.float32)
            alone = recall(index.search(queries, 10).ids, data.neighbors, 10)
            again = recall(index.search(queries, 10, rerank=100).ids, data.neighbors, 10)
            times = one_query_at_a_time(asked(index), queries[:100], 3)
            path = Path(index.path)
            if name == "sift" and kind == "float16":
                kept = (data, path)
            index.close()
            print(
                f"| {name} {len(data.base):,} | {M} | {kind} | {alone:.3f} | {again:.4f} | {times['codes']:.2f} | "
                f"{times['rerank']:.2f} | {times['rerank'] / times['codes']:.2f} | {cold(path, queries[:9]):.2f} |",
                flush=True,
            )
        assert kept is not None
        small = Path(directory) / "small"
        with (
            pqstore.Index.open(kept[1]) as index,
            pqstore.Index.create(small, index.quantizer, originals="float16") as other,
        ):
            other.add(kept[0].base[:COLD_ROWS])
        queries = kept[0].queries[:200].astype(np.float32)
        print("\n100 of {:,} re-ranked, cold {:.2f} ms, warm {:.2f} ms".format(COLD_ROWS, *cold_times(small, queries)))
        with pqstore.Index.open(kept[1]) as index:
            beside_faiss(kept[0], index)


if __name__ == "__main__":
    main()
