"""Every set of kernels that runs on this machine, beside the others, Faiss and nanopq: in one process, in turns.

    python -m benchmarks.kernels.sets [--only searches,encoding,adist,tables] [--rounds 60] [--again] [--clock cpu]

One thread, tables and scans without an index around them. All sets search the same codes in memory. `--again` lets each
subject search 16 times before the next one has its turn, so that each finds what it left in the caches.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator, Mapping

os.environ.setdefault("OMP_NUM_THREADS", "1")

import faiss
import nanopq
import numpy as np

from benchmarks.cases import SEGMENT_ROWS, Case, faiss_fast_scan, faiss_pq, load_case, relabelled
from benchmarks.data import machine
from benchmarks.timing import CLOCKS, Clock, interleave
from pqstore.arrays import F32
from pqstore.kernels import CodeChunk, CodeLayout, available, get

SETS = tuple(name for name in available() if name not in ("portable", "numpy"))
Call = Callable[[int], object]


def searches_of_sets(case: Case) -> dict[str, Callable[[F32, int], object]]:
    M, Ks, _ = case.codewords.shape
    layout = CodeLayout(M, Ks)
    codewords, codes = relabelled(case)
    chunks = tuple(
        CodeChunk(layout.pack(codes[first : first + SEGMENT_ROWS]), min(SEGMENT_ROWS, len(codes) - first), first)
        for first in range(0, len(codes), SEGMENT_ROWS)
    )

    def search_of(name: str) -> Callable[[F32, int], object]:
        searcher = get(name).searcher(layout, codewords, None, dot=False)
        prepared = searcher.prepare(chunks)
        return lambda queries, k: searcher.search(queries, prepared, k)

    return {name: search_of(name) for name in SETS}


def searches() -> Iterator[tuple[Case, Case]]:
    """Codes, and those of equal bytes that FastScan searches."""
    for data_set, M, fast_M in (("sift", 16, 32), ("sift", 32, 64), ("minilm", 48, 96)):
        yield load_case(data_set, M), load_case(data_set, fast_M, 16)
    yield load_case("minilm", 48, rows=400_000, jitter=0.01), load_case("minilm", 96, 16, rows=400_000, jitter=0.01)
    for data_set, M in (("sift", 32), ("minilm", 96)):
        case = load_case(data_set, M, 16)
        yield case, case


def compare_searches(rounds: int, clock: Clock, again: bool) -> None:
    for case, fast_case in searches():
        peers = {"FastScan": faiss_fast_scan(fast_case)}
        if case is not fast_case:
            peers["IndexPQ"] = faiss_pq(case)
        subjects = searches_of_sets(case) | {
            name: (lambda queries, k, search=search: search(queries, k, 1)) for name, search in peers.items()
        }
        for k in (10, 100):
            for size in (1,) if again else (1, 2, 8, 32, 200):
                batches = [case.queries[i : i + size] for i in range(0, len(case.queries) - size + 1, size)]
                turns = max(3, rounds // (1 if size == 1 else 4 if size < 32 else 10))
                calls = {name: batch_calls(search, batches, k, 16 if again else 1) for name, search in subjects.items()}
                what = f"{case.name}, k {k}, " + ("single" if size == 1 else f"batch {size}")
                report(what, calls, turns, clock, size * (16 if again else 1))


def batch_calls(search: Callable[[F32, int], object], batches: list[F32], k: int, times: int) -> Call:
    def call(turn: int) -> None:
        for i in range(turn * times, (turn + 1) * times):
            search(batches[i % len(batches)], k)

    return call


def compare_encoding(rounds: int, clock: Clock, _: bool) -> None:
    for data_set, M in (("sift", 16), ("minilm", 48)):
        case = load_case(data_set, M)
        vectors = np.ascontiguousarray(case.queries[:400].repeat(5, axis=0))
        quantizer = faiss.ProductQuantizer(vectors.shape[1], M, 8)
        faiss.copy_array_to_vector(case.codewords.ravel(), quantizer.centroids)
        calls = {name: always(get(name).encode, vectors, case.codewords) for name in SETS}
        calls["ProductQuantizer"] = always(quantizer.compute_codes, vectors)
        report(f"encode, {vectors.shape[1]}-d, M {M}, a vector", calls, rounds // 4, clock, len(vectors))


def compare_adist(rounds: int, clock: Clock, _: bool) -> None:
    for data_set, M in (("sift", 16), ("minilm", 48)):
        case = load_case(data_set, M)
        codes = case.codes[:40_000]
        table = get(SETS[0]).dtables(case.queries[:1], case.codewords, "l2")[0]
        calls = {name: always(get(name).adist, table, codes) for name in SETS}
        calls["nanopq"] = always(nanopq.DistanceTable(table).adist, codes)
        report(f"adist, M {M}, 1,000 rows", calls, rounds, clock, len(codes) / 1000)


def compare_tables(rounds: int, clock: Clock, _: bool) -> None:
    for data_set, M in (("sift", 16), ("minilm", 48)):
        case = load_case(data_set, M)
        searchers = {name: get(name).searcher(CodeLayout(M, 256), case.codewords, None, dot=False) for name in SETS}
        for n in (1, 64):
            calls = {name: always(searcher.tables, case.queries[:n]) for name, searcher in searchers.items()}
            report(f"tables of a search, M {M}, {n} queries, a query", calls, rounds, clock, n)


def always(function: Callable[..., object], *given: object) -> Call:
    """The same call, whatever the turn."""
    return lambda _: function(*given)


def report(what: str, calls: Mapping[str, Call], turns: int, clock: Clock, units: float) -> None:
    times = interleave(calls, range(turns), clock)
    peers = [name for name in calls if name not in SETS]
    for name in SETS:
        others = [other for other in (*SETS, *peers) if other != name]
        ratios = ", ".join(f"{other} {times.ratio(name, other):.2f}" for other in others)
        print(f"| {what} | {name} | {times.median(name) / units * 1e6:.1f} µs | {ratios} |", flush=True)


PARTS = {
    "searches": compare_searches,
    "encoding": compare_encoding,
    "adist": compare_adist,
    "tables": compare_tables,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(PARTS), help="parts to measure")
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--again", action="store_true", help="single queries, 16 of one subject at a time")
    parser.add_argument("--clock", choices=tuple(CLOCKS), default="cpu")
    options = parser.parse_args()
    faiss.omp_set_num_threads(1)
    print(f"{machine()}; kernels {', '.join(available())}; faiss {faiss.__version__}; {options.clock} clock\n")
    print("| what | kernels | time | times as fast as |\n|---|---|---|---|")
    for name in options.only.split(","):
        PARTS[name](options.rounds, CLOCKS[options.clock], options.again)


if __name__ == "__main__":
    main()
