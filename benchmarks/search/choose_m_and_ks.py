"""Recall and bytes of PQ and OPQ for several M and Ks: the table of docs/howto/choose-m-and-ks.md.

    python -m benchmarks.search.choose_m_and_ks                  # the vectors in examples/data
    python -m benchmarks.search.choose_m_and_ks --set minilm     # a set of PQSTORE_BENCH_DATA, see data.py
    python -m benchmarks.search.choose_m_and_ks --directory DIR  # base.npy, train.npy, queries.npy, neighbors.npy

Prints Markdown. Recall depends on nothing but the vectors and the seed; times are of this machine.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

import pqstore
from benchmarks.data import ROOT, Dataset, load, machine, recall


def read(directory: Path) -> Dataset:
    arrays = (np.load(directory / f"{name}.npy") for name in ("base", "train", "queries", "neighbors"))
    return Dataset(directory.name, *arrays)


def choices(D: int) -> list[tuple[int, int]]:
    """M and Ks in the order of bytes: one byte a code, then half a byte, then two bytes."""
    wide = [(M, 256) for M in (D // 16, D // 8, D // 4, D // 2)]
    return [*wide, (D // 4, 16), (D // 2, 16), (D, 16), (D // 8, 1024)]


def milliseconds_a_query(index: pqstore.Index, queries: np.ndarray) -> float:
    times = []
    for query in queries:
        started = time.perf_counter()
        index.search(query, k=10, threads=1)
        times.append(time.perf_counter() - started)
    return float(np.median(times)) * 1e3


def measure(data: Dataset, M: int, Ks: int, kind: type) -> str:
    quantizer = kind(M=M, Ks=Ks, verbose=False)
    started = time.perf_counter()
    quantizer.fit(data.train)
    seconds = time.perf_counter() - started
    with (
        tempfile.TemporaryDirectory() as directory,
        pqstore.Index.create(Path(directory) / "index", quantizer) as index,
    ):
        index.add(data.base)
        found = index.search(data.queries, k=100).ids
        recalls = " | ".join(f"{recall(found, data.neighbors, k):.3f}" for k in (1, 10, 100))
        # All of the true ten among the first hundred: what re-ranking by the original vectors can still save.
        saved = np.mean([np.isin(true[:10], row).mean() for row, true in zip(found, data.neighbors, strict=True)])
        return (
            f"| {index.stats().code_bytes} | {M} | {Ks} | {kind.__name__} | {recalls} | {saved:.3f} | {seconds:.1f} | "
            f"{milliseconds_a_query(index, data.queries):.2f} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", help="a set of PQSTORE_BENCH_DATA")
    parser.add_argument("--directory", type=Path, default=ROOT / "examples" / "data")
    options = parser.parse_args()
    data = load(options.set) if options.set else read(options.directory)
    rows, D = data.base.shape
    print(
        f"{data.name}: {rows:,} vectors of {D} dimensions, {len(data.train):,} to train on, {len(data.queries)} queries"
    )
    print(f"pqstore {pqstore.__version__}, kernel {pqstore.kernels.active().name}, {machine()}\n")
    print("| bytes | M | Ks | | recall@1 | recall@10 | recall@100 | 10 in 100 | train s | ms a query |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for M, Ks in choices(D):
        for kind in (pqstore.PQ, pqstore.OPQ):
            print(measure(data, M, Ks, kind), flush=True)


if __name__ == "__main__":
    main()
