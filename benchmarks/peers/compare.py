"""pqstore beside Faiss and nanopq, in one process, in turns: prints a Markdown table and draws a plot.

    python -m benchmarks.peers.compare [--quick] [--over kernels|index] [--clock wall|cpu] [--plot docs/performance.png]

Needs the extras `faiss` and `plot`, nanopq, and data: a directory with sift/ and minilm/ that PQSTORE_BENCH_DATA names.
`--over index` searches an index on disk through the public API; `kernels` the kernels alone.
"""

from __future__ import annotations

import argparse
import gc
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

import faiss
import nanopq
import numpy as np

import pqstore
from benchmarks.cases import (
    Case,
    Searcher,
    faiss_fast_scan,
    faiss_pq,
    index_search,
    kernel_search,
    load_case,
    train_set,
    trained_codewords,
)
from benchmarks.data import machine, recall
from benchmarks.timing import CLOCKS, Clock, Times, interleave
from pqstore.kernels import active, available

OpenSearch = Callable[[Case], AbstractContextManager[Searcher]]


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table: how many times as fast as a peer."""

    what: str
    ours: str
    peer: str
    ratio: float
    slow_ratio: float | None = None
    note: str = ""


@dataclass(slots=True)
class Run:
    """Settings of a run, and the figures so far."""

    quick: bool
    clock: Clock
    open_search: OpenSearch
    figures: list[Figure] = field(default_factory=list)

    def report(self, figure: Figure) -> None:
        self.figures.append(figure)
        print(line_of(figure), flush=True)


def line_of(figure: Figure) -> str:
    slow = "" if figure.slow_ratio is None else f"{figure.slow_ratio:.2f}"
    return f"| {figure.what} | {figure.ours} | {figure.peer} | {figure.ratio:.2f} | {slow} | {figure.note} |"


def recall_of(case: Case, search: Searcher, k: int = 10) -> float | None:
    return None if case.neighbors is None else recall(search(case.queries, k, 1)[1], case.neighbors, k)


def time_single(run: Run, case: Case, subjects: dict[str, Searcher], k: int, threads: int) -> Times:
    rounds = [i % len(case.queries) for i in range(40 if run.quick else 200)]
    calls = {
        name: lambda i, search=search: search(case.queries[i : i + 1], k, threads) for name, search in subjects.items()
    }
    return interleave(calls, rounds, run.clock)


def time_batch(run: Run, case: Case, subjects: dict[str, Searcher], k: int, threads: int, size: int = 200) -> Times:
    queries = np.ascontiguousarray(case.queries[:size])
    calls = {name: lambda _, search=search: search(queries, k, threads) for name, search in subjects.items()}
    return interleave(calls, range(2 if run.quick else 5), run.clock)


def compare_case(run: Run, case: Case, peers: dict[str, Case], ks: tuple[int, ...], batch: bool) -> None:
    """Single queries, and batches of 200: IndexPQ on the same codes, FastScan on the case given for it."""
    with run.open_search(case) as ours:
        subjects: dict[str, Searcher] = {"pqstore": ours}
        notes = {}
        for peer, peer_case in peers.items():
            subjects[peer] = faiss_pq(peer_case) if peer == "IndexPQ" else faiss_fast_scan(peer_case)
            mine, theirs = recall_of(case, ours), recall_of(peer_case, subjects[peer])
            notes[peer] = "" if mine is None or theirs is None else f"recall@10 {mine:.3f} / {theirs:.3f}"
        for k in ks:
            for mode, timed, per_call in (("single", time_single, 1), ("batch 200", time_batch, 200)):
                if mode != "single" and not batch:
                    continue
                times = timed(run, case, subjects, k, 1)
                for peer, peer_case in peers.items():
                    run.report(
                        Figure(
                            f"{case.name}, k {k}, {mode}",
                            f"{times.median('pqstore') / per_call * 1e6:.0f} µs",
                            peer if peer_case is case else f"{peer} {peer_case.name.split(', ')[1]}",
                            times.ratio("pqstore", peer),
                            times.slow_ratio("pqstore", peer) if mode == "single" else None,
                            notes[peer],
                        )
                    )
    gc.collect()


def compare_searches(run: Run) -> None:
    for M in (16, 32):
        case, wide = load_case("sift", M), load_case("sift", 2 * M, 16)
        compare_case(run, case, {"IndexPQ": case, "FastScan": wide}, (10, 100), batch=True)
    for M, rows in ((48, None), (48, 400_000), (96, None)):
        case = load_case("minilm", M, rows=rows, jitter=0.01)
        compare_case(run, case, {"IndexPQ": case}, (10, 100), batch=True)
    for data_set, M in (("minilm", 96), ("sift", 32), ("sift", 64)):
        case = load_case(data_set, M, 16)
        compare_case(run, case, {"FastScan": case}, (10, 100), batch=True)


def compare_large(run: Run) -> None:
    """Out of the cache: two threads over one, and bytes read a second."""
    case = load_case("sift", 16, rows=1_000_000 if run.quick else 4_000_000, jitter=3.0)
    plain = case.codes.reshape(-1).view(np.uint64)
    with run.open_search(case) as ours:
        subjects = {"1": ours, "2": ours}
        calls = {name: lambda i, threads=int(name): ours(case.queries[i : i + 1], 10, threads) for name in subjects}
        calls["sum"] = lambda _: plain.sum()
        times = interleave(calls, range(10 if run.quick else 40), CLOCKS["wall"])
        run.report(
            Figure(
                f"{case.name}, k 10, 2 threads", f"{times.median('2') * 1e6:.0f} µs", "1 thread", times.ratio("2", "1")
            )
        )
        speed = case.codes.nbytes / times.median("1") / 1e9
        run.report(Figure(f"{case.name}, bytes read", f"{speed:.1f} GB/s", "np.sum of uint64", times.ratio("1", "sum")))
        batch = {name: lambda _, t=int(name): ours(case.queries[:200], 10, t) for name in subjects}
        times = interleave(batch, range(2), CLOCKS["wall"])
        run.report(
            Figure(
                f"{case.name}, k 10, batch 200, 2 threads",
                f"{times.median('2') / 200 * 1e6:.0f} µs",
                "1 thread",
                times.ratio("2", "1"),
            )
        )


def compare_encoding(run: Run) -> None:
    faiss.omp_set_num_threads(1)
    for data_set, M in (("sift", 16), ("minilm", 48)):
        codewords = trained_codewords(data_set, M, 256)
        vectors = train_set(data_set, 4_000)
        theirs = faiss.ProductQuantizer(vectors.shape[1], M, 8)
        faiss.copy_array_to_vector(codewords.ravel(), theirs.centroids)
        small = nanopq.PQ(M, 256, verbose=False)
        small.codewords, small.Ds = codewords, codewords.shape[2]
        calls = {
            "pqstore": lambda _, v=vectors, c=codewords: active().encode(v, c),
            "Faiss": lambda _, v=vectors, t=theirs: t.compute_codes(v),
            "nanopq": lambda _, v=vectors, s=small: s.encode(v),
        }
        times = interleave(calls, range(3 if run.quick else 15), run.clock)
        speed = f"{len(vectors) / times.median('pqstore') / 1e3:.0f} k vectors/s"
        for peer in ("Faiss", "nanopq"):
            run.report(Figure(f"encode {vectors.shape[1]}-d, M {M}", speed, peer, times.ratio("pqstore", peer)))


def compare_adist(run: Run) -> None:
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 256, (1_000_000, 16)).astype(np.uint8)
    table = rng.random((16, 256)).astype(np.float32)
    peer = nanopq.DistanceTable(table)
    calls = {"pqstore": lambda _: active().adist(table, codes), "nanopq": lambda _: peer.adist(codes)}
    times = interleave(calls, range(3 if run.quick else 15), run.clock)
    run.report(
        Figure("adist, 1 M x 16", f"{times.median('pqstore') * 1e3:.1f} ms", "nanopq", times.ratio("pqstore", "nanopq"))
    )


def compare_training(run: Run) -> None:
    """The same number of iterations from vectors drawn at random; errors are those of the training vectors."""
    faiss.omp_set_num_threads(1)
    iterations, rounds = (5, 1) if run.quick else (25, 3)
    for data_set, M in (("sift", 16), ("minilm", 48)):
        vectors = train_set(data_set, 65_536)
        theirs = faiss.ProductQuantizer(vectors.shape[1], M, 8)
        theirs.cp.niter, theirs.cp.max_points_per_centroid = iterations, len(vectors)
        ours = pqstore.PQ(M, 256, verbose=False)
        errors: dict[str, list[float]] = {"pqstore": [], "Faiss": []}

        def train_ours(seed: int, v=vectors, o=ours) -> None:
            o.fit(v, iter=iterations, seed=seed, threads=1)

        def train_theirs(seed: int, v=vectors, t=theirs) -> None:
            t.cp.seed = 1234 + seed
            t.train(v)

        times = interleave({"pqstore": train_ours, "Faiss": train_theirs}, range(rounds), run.clock)
        for seed in range(rounds):
            train_ours(seed)
            errors["pqstore"].append(ours.quantization_error(vectors))
            train_theirs(seed)
            decoded = theirs.decode(theirs.compute_codes(vectors))
            errors["Faiss"].append(float(((vectors - decoded) ** 2).sum(axis=1).mean()))
        ratio = np.mean(errors["pqstore"]) / np.mean(errors["Faiss"])
        run.report(
            Figure(
                f"train {len(vectors)} x {vectors.shape[1]}, M {M}, {iterations} iterations",
                f"{times.median('pqstore'):.2f} s",
                "Faiss",
                times.ratio("pqstore", "Faiss"),
                note=f"error {ratio:.4f} x Faiss, mean of {rounds} seeds",
            )
        )


def compare_opq(run: Run) -> None:
    """A rotation and its codewords at no higher error: Faiss by its defaults, pqstore from a start that suits the data.

    Faiss starts from a random rotation and makes 50 rounds. Errors are those of the training vectors.
    """
    faiss.omp_set_num_threads(1)
    rows, rounds = (16_384, 10) if run.quick else (65_536, 50)
    for data_set, M, parametric in (("sift", 16, False), ("minilm", 48, True), ("minilm", 48, False)):
        vectors = train_set(data_set, rows)
        D = vectors.shape[1]
        rotation, theirs = faiss.OPQMatrix(D, M), faiss.ProductQuantizer(D, M, 8)
        rotation.niter, theirs.cp.max_points_per_centroid = rounds, rows
        ours = pqstore.OPQ(M, 256, verbose=False)
        # From the identity as many rounds as Faiss where the axes mean nothing; a good start needs few.
        ours_rounds = 10 if data_set == "sift" or parametric else rounds

        def train_theirs(_: int, v=vectors, r=rotation, t=theirs) -> None:
            r.train(v)
            t.train(r.apply(v))

        def train_ours(_: int, v=vectors, o=ours, p=parametric, n=ours_rounds) -> None:
            o.fit(v, parametric_init=p, pq_iter=25, rotation_iter=n, threads=1)

        times = once_each({"pqstore": train_ours, "Faiss": train_theirs}, run.clock)
        turned = rotation.apply(vectors)
        their_error = float(((turned - theirs.decode(theirs.compute_codes(turned))) ** 2).sum(axis=1).mean())
        start = "principal axes" if parametric else "identity"
        run.report(
            Figure(
                f"train OPQ {len(vectors)} x {D}, M {M}, from the {start}, {ours_rounds} rounds",
                f"{times.median('pqstore'):.2f} s",
                f"Faiss, {rounds} rounds",
                times.ratio("pqstore", "Faiss"),
                note=f"error {ours.quantization_error(vectors) / their_error:.4f} x Faiss",
            )
        )


def once_each(subjects: dict[str, Callable[[int], object]], clock: Clock) -> Times:
    """One call each, without the call that is not counted: for what takes minutes."""
    seconds = []
    for call in subjects.values():
        start = clock()
        call(0)
        seconds.append(clock() - start)
    return Times(tuple(subjects), np.array([seconds]))


def draw(figures: list[Figure], path: Path) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    fig, axes = plt.subplots(figsize=(9, 0.28 * len(figures) + 1))
    labels = [f"{figure.what} / {figure.peer}" for figure in figures]
    axes.barh(range(len(figures)), [figure.ratio for figure in figures], color="#4477aa")
    axes.set_yticks(range(len(figures)), labels, fontsize=7)
    axes.invert_yaxis()
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_xscale("log")
    axes.set_xlabel("times as fast as the peer (median of interleaved runs)")
    fig.tight_layout()
    fig.savefig(path, dpi=120)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer rounds and rows")
    parser.add_argument("--over", choices=("kernels", "index"), default="index", help="what of pqstore is measured")
    parser.add_argument("--clock", choices=tuple(CLOCKS), default="wall", help="cpu: for a machine that others use too")
    parser.add_argument("--only", help="parts to measure, of searches,encoding,adist,training,opq,large; all if none")
    parser.add_argument("--plot", type=Path, help="where to draw the ratios")
    return parser.parse_args()


def parts() -> Iterator[tuple[str, Callable[[Run], None]]]:
    yield "searches", compare_searches
    yield "encoding", compare_encoding
    yield "adist", compare_adist
    yield "training", compare_training
    yield "opq", compare_opq
    yield "large", compare_large


def main() -> None:
    options = arguments()
    run = Run(options.quick, CLOCKS[options.clock], index_search if options.over == "index" else kernel_search)
    kernels = f"kernel {active().name} of {', '.join(available())}"
    print(f"{options.over}, {kernels}, faiss {faiss.__version__}, {machine()}, {options.clock} clock\n")
    print("| what | pqstore | peer | times as fast | slowest tenth | |\n|---|---|---|---|---|---|")
    wanted = options.only.split(",") if options.only else None
    for name, compare in parts():
        if wanted is None or name in wanted:
            compare(run)
    if options.plot:
        draw(run.figures, options.plot)


if __name__ == "__main__":
    main()
