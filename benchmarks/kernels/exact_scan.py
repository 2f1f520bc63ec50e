"""Exact search of float32 vectors beside Faiss's flat indexes, one thread, in one process, in turns: prints Markdown.

    python -m benchmarks.kernels.exact_scan [--rows 10000 100000] [--dim 384] [--batches 1 200] [--k 10]

Needs faiss-cpu. Vectors are random, of length 1, near a space of 32 dimensions. Faiss scans a batch row by row, or as a
matrix product, by a rule of its own: its choice and the matrix product are both measured. Ratios are medians over
rounds of processor time, so that other programs disturb both sides alike: above 1, pqstore is faster.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before NumPy and Faiss load one

import faiss
import numpy as np
import numpy.typing as npt

from benchmarks.data import machine
from benchmarks.timing import CLOCKS, Times, interleave
from pqstore.kernels import OriginalChunk, available, get

F32 = npt.NDArray[np.float32]
FAISS, PRODUCT = "faiss", "faiss, product"


def near_a_space(rng: np.random.Generator, count: int, D: int, axes: F32) -> F32:
    points = rng.standard_normal((count, len(axes)), dtype=np.float32) @ axes
    points += 0.5 * rng.standard_normal((count, D), dtype=np.float32)
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    return points


def measure(metric: str, base: F32, queries: F32, k: int, rounds: int) -> Times:
    """`queries` (rounds, n, D), one batch a round."""
    index = (faiss.IndexFlatL2 if metric == "l2" else faiss.IndexFlatIP)(base.shape[1])
    index.add(base)
    chunks = [OriginalChunk(base.view(np.uint8), 0)]
    usual = faiss.cvar.distance_compute_blas_threshold

    def faiss_search(number: int, threshold: int) -> None:
        faiss.cvar.distance_compute_blas_threshold = threshold
        index.search(queries[number], k)

    def ours(name: str) -> Callable[[int], object]:
        kernels = get(name)
        return lambda number: kernels.exact_scan("float32", metric, chunks, queries[number].astype(np.float64), k)

    subjects: dict[str, Callable[[int], object]] = {FAISS: lambda number: faiss_search(number, usual)}
    if queries.shape[1] > 1:
        subjects[PRODUCT] = lambda number: faiss_search(number, 1)
    subjects |= {name: ours(name) for name in available() if name != "numpy"}
    times = interleave(subjects, range(rounds), CLOCKS["cpu"])
    faiss.cvar.distance_compute_blas_threshold = usual
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--dim", type=int, default=384)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 200])
    parser.add_argument("--k", type=int, nargs="+", default=[10])
    parser.add_argument("--seconds", type=float, default=4, help="about how long a case takes")
    options = parser.parse_args()
    faiss.omp_set_num_threads(1)
    rng = np.random.default_rng(0)
    axes = rng.standard_normal((32, options.dim), dtype=np.float32)
    print(f"{machine()}; faiss {faiss.__version__} ({faiss.get_compile_options().strip()}); {options.dim} dimensions\n")
    print("| rows | queries | k | metric | kernels | ms a query | over faiss | over its matrix product |")
    print("|---|---|---|---|---|---|---|---|")
    for rows in options.rows:
        base = near_a_space(rng, rows, options.dim, axes)
        for n in options.batches:
            # A subject does some ten thousand million multiplications a second where it is slow.
            rounds = int(np.clip(options.seconds * 3e9 / (rows * options.dim * n), 5, 400))
            queries = near_a_space(rng, rounds * n, options.dim, axes).reshape(rounds, n, options.dim)
            for k in options.k:
                for metric in ("l2", "dot"):
                    times = measure(metric, base, queries, k, rounds)
                    for name in times.names:
                        if name in (FAISS, PRODUCT):
                            continue
                        product = f"{times.ratio(name, PRODUCT):.2f}" if PRODUCT in times.names else "-"
                        print(
                            f"| {rows:,} | {n} | {k} | {metric} | {name} | {times.median(name) * 1e3 / n:.3f} "
                            f"| {times.ratio(name, FAISS):.2f} | {product} |",
                            flush=True,
                        )


if __name__ == "__main__":
    main()
