"""Reconstruction error and recall of PQ and OPQ: pqstore, nanopq and Faiss on the same vectors.

    python -m benchmarks.building.quantizer_error [--sets sift,minilm] [--rows 50000]

Needs the data of `data.py`. Prints a Markdown table. nanopq and faiss are skipped where not installed.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import time
from collections.abc import Callable

import numpy as np

from benchmarks.data import load
from pqstore.index.recall.share import recall_at
from pqstore.kernels import active
from pqstore.quantizer import OPQ, PQ

SHAPES = {"sift": [(16, 256), (32, 256)], "minilm": [(48, 256), (96, 16)]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", default="sift,minilm")
    parser.add_argument("--rows", type=int, default=50_000, help="training rows at most")
    parser.add_argument("--opq", action=argparse.BooleanOptionalAction, default=True)
    arguments = parser.parse_args()
    print(f"kernel {active().name}, {os.cpu_count()} cores, training rows at most {arguments.rows}\n")
    print("| set | M x Ks | what | train s | error on train | error on base | recall@10 |")
    print("|---|---|---|---|---|---|---|")
    for name in arguments.sets.split(","):
        data = load(name)
        train, base, queries, truth = data.train, data.base, data.queries, data.neighbors
        train, queries = train[: arguments.rows].astype(np.float32), queries.astype(np.float32)
        for M, Ks in SHAPES[name]:
            for label, fit in candidates(M, Ks, arguments.opq):
                start = time.perf_counter()
                encode, decode = fit(train)
                seconds = time.perf_counter() - start
                codes = encode(base.astype(np.float32))
                print(
                    f"| {name} | {M} x {Ks} | {label} | {seconds:.1f} | {error(encode(train), decode, train):.6g} "
                    f"| {error(codes, decode, base):.6g} | {recall(codes, decode, queries, truth):.4f} |",
                    flush=True,
                )


Coder = tuple[Callable[[np.ndarray], np.ndarray], Callable[[np.ndarray], np.ndarray]]


def candidates(M: int, Ks: int, with_opq: bool) -> list[tuple[str, Callable[[np.ndarray], Coder]]]:
    """(label, function of training vectors that returns encode and decode), at equal iterations."""

    def api(quantizer: object) -> Callable[[np.ndarray], Coder]:
        def fit(train: np.ndarray) -> Coder:
            quantizer.fit(train)
            return quantizer.encode, quantizer.decode

        return fit

    found = [("pqstore PQ", api(PQ(M, Ks, verbose=False)))]
    opqs = [
        ("pqstore OPQ", api(OPQ(M, Ks, verbose=False))),
        ("pqstore OPQ, parametric start", lambda train: api_parametric(OPQ(M, Ks, verbose=False), train)),
    ]
    if importlib.util.find_spec("nanopq"):
        import nanopq  # optional

        found.append(("nanopq PQ", api(nanopq.PQ(M, Ks, verbose=False))))
        opqs.append(("nanopq OPQ", api(nanopq.OPQ(M, Ks, verbose=False))))
    if importlib.util.find_spec("faiss"):
        found.append(("faiss PQ, 20 iterations", lambda train: faiss_coder(f"PQ{M}x{Ks.bit_length() - 1}", train)))
        opqs.append(
            ("faiss OPQ, its defaults", lambda train: faiss_coder(f"OPQ{M},PQ{M}x{Ks.bit_length() - 1}", train))
        )
    return found + (opqs if with_opq else [])


def api_parametric(quantizer: OPQ, train: np.ndarray) -> Coder:
    quantizer.fit(train, parametric_init=True)
    return quantizer.encode, quantizer.decode


def faiss_coder(description: str, train: np.ndarray) -> Coder:
    import faiss  # optional

    index = faiss.index_factory(train.shape[1], description)
    base = faiss.downcast_index(index.index) if description.startswith("OPQ") else index
    base.pq.cp.niter = 20
    index.train(train)
    return index.sa_encode, index.sa_decode


def error(codes: np.ndarray, decode: Callable[[np.ndarray], np.ndarray], vectors: np.ndarray) -> float:
    total = 0.0
    for start in range(0, len(vectors), 20_000):
        difference = decode(codes[start : start + 20_000]) - vectors[start : start + 20_000].astype(np.float64)
        total += float((difference**2).sum())
    return total / len(vectors)


def recall(
    codes: np.ndarray, decode: Callable[[np.ndarray], np.ndarray], queries: np.ndarray, truth: np.ndarray
) -> float:
    """Share of the 10 nearest that are among the 10 nearest decoded vectors."""
    best = np.full((len(queries), 10), np.inf, dtype=np.float32)
    rows = np.full((len(queries), 10), -1)
    norms = (queries**2).sum(axis=1)[:, None]
    for start in range(0, len(codes), 20_000):
        decoded = decode(codes[start : start + 20_000])
        distances = norms - 2 * (queries @ decoded.T) + (decoded**2).sum(axis=1)
        both = np.concatenate((best, distances), axis=1)
        numbers = np.concatenate(
            (rows, np.broadcast_to(np.arange(start, start + len(decoded)), distances.shape)), axis=1
        )
        order = np.argpartition(both, 10, axis=1)[:, :10]
        best, rows = np.take_along_axis(both, order, 1), np.take_along_axis(numbers, order, 1)
    return recall_at(10, rows, truth)


if __name__ == "__main__":
    main()
