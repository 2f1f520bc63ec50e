"""Inverted lists: recall and time over budgets, beside a flat scan, Faiss and hnswlib; making, following, filters.

    python -m benchmarks.search.lists [--part recall,peers,making,adds,filters,churn,drift,cold] [--rows 4000000]
    python -m benchmarks.search.lists --part peers --only sift-32 [--clock cpu]

Prints Markdown. Needs the data of `data.py`; "peers" needs faiss-cpu, and takes hnswlib where that is installed.
Operating points are chosen on the first half of the queries, figures are of the second. `--rows` is of "making": the
SIFT base with jitter, for speed alone. "cold" needs a directory on a disk, and drops its file from memory. One thread.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import resource
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np

import pqstore
from benchmarks.data import load, machine
from benchmarks.timing import CLOCKS, Clock, one_query_at_a_time
from pqstore.index.selection.selection import Selection
from pqstore.storage import SnapshotLists

Configuration = tuple[str, int, int]
CONFIGURATIONS = (("sift", 16, 256), ("sift", 32, 16), ("minilm", 48, 256), ("minilm", 96, 16))
TARGETS = (0.95, 0.98, 0.99)


def share(ids: np.ndarray, truth: np.ndarray, k: int = 10) -> float:
    pairs = zip(ids[:, :k].tolist(), truth[:, :k].tolist(), strict=True)
    return float(np.mean([len(set(a) & set(b)) / k for a, b in pairs]))


def made(directory: Path, name: str, M: int, Ks: int) -> tuple[pqstore.Index, Any]:
    data = load(name)
    pq = pqstore.PQ(M=M, Ks=Ks, verbose=False).fit(data.train.astype(np.float32), iter=15)
    with pqstore.Index.create(directory / f"{name}-{M}-{Ks}", pq, bulk=True, originals="float16") as index:
        index.add(data.base)
    index = pqstore.Index.open(directory / f"{name}-{M}-{Ks}")
    index.partition()
    return index, data


def times(
    calls: dict[str, Callable[[np.ndarray], Any]], queries: np.ndarray, clock: Clock
) -> dict[str, tuple[float, float]]:
    """Microseconds a query: (alone, in one batch)."""
    single = one_query_at_a_time(calls, queries, 3, clock)
    batch = {}
    for name, call in calls.items():
        taken = []
        for _ in range(3):
            begin = clock()
            call(queries)
            taken.append(clock() - begin)
        batch[name] = min(taken) / len(queries) * 1e6
    return {name: (single[name] * 1e3, batch[name]) for name in calls}


def recall_over_budgets(directory: Path, chosen: Sequence[Configuration], clock: Clock) -> None:
    """By codes, and with what `calibrate` finds for each recall."""
    for name, M, Ks in chosen:
        index, data = made(directory, name, M, Ks)
        queries = data.queries.astype(np.float32)
        half = len(queries) // 2
        asked, truth = queries[half:], data.neighbors[half:]
        lists = index.stats().lists
        print(f"\n### {name}, M {M} x Ks {Ks}: {lists.partitions:,} lists, imbalance {lists.imbalance:.2f}\n")
        print("| how | rows read, lists | recall@10 | of flat | us alone | us in a batch |\n|---|---|---|---|---|---|")
        flat = share(index.search(asked, 10, nprobe="all").ids, truth)
        index.calibrate(queries[:half], recall=0.98, k=10)
        hows: dict[str, dict[str, Any]] = {"flat": {"nprobe": "all"}}
        root = len(data.base) ** 0.5
        hows |= {f"scan {factor} sqrt(n)": {"scan": int(factor * root)} for factor in (8, 16, 24, 48)}
        hows |= {f"recall={target}": {"recall": target} for target in TARGETS}
        calls = {how: partial(index.search, k=10, threads=1, **what) for how, what in hows.items()}
        taken = times(calls, asked[:200], clock)
        for how, what in hows.items():
            hits = index.search(asked, 10, explain=True, **what)
            plan, found = hits.plan.lists, share(hits.ids, truth)
            read = "all" if plan is None else f"{plan.rows_read:,.0f}, {plan.lists_read:.0f}"
            rerank = f", rerank {hits.plan.rerank}" if hits.plan.rerank else ""
            alone, batch = taken[how]
            print(f"| {how}{rerank} | {read} | {found:.3f} | {found / flat:.3f} | {alone:.0f} | {batch:.0f} |")
        index.close()


class Peer(NamedTuple):
    """Another library's index of the same vectors."""

    name: str
    points: list[Any]
    """Its operating points."""
    at: Callable[[Any], None]
    """Makes it search at a point."""
    search: Callable[[np.ndarray], np.ndarray]
    """Queries (n, D) or (D,) -> ids (n, 10)."""


def faiss_peer(name: str, code: str, data: Any) -> Peer:
    """Inverted lists, re-ranked from float32 vectors."""
    import faiss

    faiss.omp_set_num_threads(1)
    partitions = 1024 if name == "sift" else 256
    index = faiss.index_factory(data.base.shape[1], f"IVF{partitions},{code},RFlat")
    index.train(data.train.astype(np.float32))
    index.add(np.ascontiguousarray(data.base, dtype=np.float32))

    def at(point: tuple[int, int]) -> None:
        faiss.extract_index_ivf(index.base_index).nprobe, index.k_factor = point

    points = [(n, f) for n in (8, 12, 16, 24, 32, 48, 64, 96, 128) for f in (2, 4, 6, 8, 12, 16, 20, 28)]
    return Peer(f"Faiss IVF{partitions},{code},RFlat", points, at, lambda q: index.search(np.atleast_2d(q), 10)[1])


def hnswlib_peer(data: Any) -> Peer | None:
    """A graph over float32 vectors in memory; None: hnswlib is not installed."""
    try:
        import hnswlib
    except ImportError:
        return None
    base = data.base.astype(np.float32)
    index = hnswlib.Index("l2", base.shape[1])
    index.init_index(len(base), M=16, ef_construction=200)
    index.add_items(base)
    index.set_num_threads(1)
    points = [10, 14, 20, 28, 40, 56, 80, 112, 160, 224, 320]
    return Peer("hnswlib M 16", points, index.set_ef, lambda q: index.knn_query(q, 10)[0].astype(np.int64))


def beside_peers(directory: Path, chosen: Sequence[Configuration], clock: Clock) -> None:
    """Recall of originals re-ranked, ours by `calibrate`, the others at the quickest of their operating points."""
    graphs: dict[str, Peer | None] = {}
    for name, M, Ks in chosen:
        index, data = made(directory, name, M, Ks)
        queries = data.queries.astype(np.float32)
        half = len(queries) // 2
        index.calibrate(queries[:half], recall=0.98, k=10)
        if name not in graphs:
            graphs[name] = hnswlib_peer(data)
        # Codes of as many bytes: the same, and the quickest that Faiss has.
        codes = [f"PQ{M}x4fs"] if Ks == 16 else [f"PQ{M}", f"PQ{2 * M}x4fs"]
        peers = [faiss_peer(name, code, data) for code in codes]
        peers += [graph for graph in [graphs[name]] if graph is not None]
        print(f"\n### {name}, ours M {M} x Ks {Ks}\n")
        print("| recall@10 | who, at | reached | us alone, in a batch | ours over it |\n|---|---|---|---|---|")
        for target in TARGETS:
            calls = {"pqstore": partial(_ids, index, target)}
            for peer in peers:
                point = _quickest(peer, queries[:half], data.neighbors[:half], target, clock)
                if point is not None:
                    peer.at(point)
                    calls[f"{peer.name}, {point}"] = peer.search
            asked, truth = queries[half:], data.neighbors[half:]
            taken = times(calls, asked[:200], clock)
            ours = taken["pqstore"]
            for who, call in calls.items():
                alone, batch = taken[who]
                over = f"{alone / ours[0]:.2f}, {batch / ours[1]:.2f}"
                print(f"| {target} | {who} | {share(call(asked), truth):.3f} | {alone:.0f}, {batch:.0f} | {over} |")
        index.close()


def _ids(index: pqstore.Index, recall: float, queries: np.ndarray) -> np.ndarray:
    return index.search(queries, k=10, threads=1, recall=recall).ids


def _quickest(peer: Peer, queries: np.ndarray, truth: np.ndarray, target: float, clock: Clock) -> Any:
    best, quickest = np.inf, None
    for point in peer.points:
        peer.at(point)
        begin = clock()
        ids = peer.search(queries)
        taken = clock() - begin
        if taken < best and share(ids, truth) >= target:
            best, quickest = taken, point
    return quickest


def _blocks(base: np.ndarray, rows: int) -> Iterator[np.ndarray]:
    rng = np.random.default_rng(0)
    for start in range(0, rows, len(base)):
        noise = rng.integers(-3, 4, base.shape) if start else 0
        yield np.clip(base.astype(np.int16) + noise, 0, 255).astype(np.uint8)[: rows - start]


def making(directory: Path, rows: int) -> None:
    """Lists of many rows made, compacted and searched."""
    data = load("sift")
    pq = pqstore.PQ(M=16, verbose=False).fit(data.train.astype(np.float32), iter=10)
    started = time.perf_counter()
    with pqstore.Index.create(directory / "large", pq, bulk=True) as index:
        index.add(_blocks(data.base, rows))
    built, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    index = pqstore.Index.open(directory / "large")
    flat_bytes = index.stats().used_bytes
    begin = time.perf_counter()
    report = index.partition()
    partitioned = time.perf_counter()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    queries = data.queries.astype(np.float32)
    calls = {
        "flat": lambda q: index.search(q, 10, threads=1, nprobe="all"),
        "lists": lambda q: index.search(q, 10, threads=1),
    }
    taken = one_query_at_a_time(calls, queries[:100], 2)
    print(f"\n### {rows:,} rows (jittered: speed alone), {report}\n\n| | |\n|---|---|")
    print(f"| build; partition() | {built - started:.0f} s; {partitioned - begin:.0f} s |")
    print(f"| peak memory of the process, beyond that of the build | {(peak - before) / 1024:.0f} MB |")
    print(f"| bytes a row in lists | {(index.stats().used_bytes - flat_bytes) / report.rows:.2f} |")
    print(f"| search, k 10, ms: flat; lists | {taken['flat']:.3f}; {taken['lists']:.3f} |")
    read = index.search(queries[:100], 10, explain=True).plan.lists
    print(f"| rows read; lists; pieces | {read.rows_read:,.0f}; {read.lists_read:.0f}; {read.pieces_read:.0f} |")
    index.close()


def adds(directory: Path) -> None:
    """A durable add of one row while lists follow, and without lists."""
    data = load("sift")
    pq = pqstore.PQ(M=16, verbose=False).fit(data.train.astype(np.float32), iter=10)
    print("\n### Adds of one row, ms\n\n| | p50 | p99 | p99.9 | most |\n|---|---|---|---|---|")
    for how in ("without lists", "with lists"):
        with pqstore.Index.create(directory / how.replace(" ", "-"), pq) as index:
            index.add(data.base[: 3 * 65_536 - 2000])
            if how == "with lists":
                index.partition(1024)
            taken = []
            for row in data.base[-6000:]:
                begin = time.perf_counter()
                index.add(row)
                taken.append(time.perf_counter() - begin)
            p50, p99, p999 = np.quantile(taken, (0.5, 0.99, 0.999)) * 1e3
            print(f"| {how} | {p50:.2f} | {p99:.2f} | {p999:.1f} | {max(taken) * 1e3:.0f} |")


def churn(directory: Path) -> None:
    """A million rows of which a tenth is replaced 20 times while lists follow, beside a copy with fresh lists."""
    data, rng, rows = load("sift"), np.random.default_rng(0), 1_000_000
    pq = pqstore.PQ(M=16, verbose=False).fit(data.train.astype(np.float32), iter=10)
    vectors, queries = np.concatenate(list(_blocks(data.base, rows))), data.queries.astype(np.float32)
    with pqstore.Index.create(directory / "churned", pq, bulk=True) as index:
        index.add(vectors, np.arange(rows))
    index = pqstore.Index.open(directory / "churned")
    index.partition()
    longest = []
    for _ in range(20):
        ids, moved = rng.choice(rows, rows // 10, replace=False), rng.integers(0, rows, rows // 10)
        for some in np.array_split(np.arange(len(ids)), 100):
            begin = time.perf_counter(), time.process_time()
            index.add(vectors[moved[some]], ids[some], on_conflict="replace")
            longest.append((time.perf_counter() - begin[0], time.process_time() - begin[1]))
    _beside_fresh("A million rows, a tenth of them replaced 20 times", index, directory, queries, None)
    for clock, of_adds in zip(("wall clock", "CPU"), np.transpose(longest) * 1e3, strict=True):
        print(f"| an add of 1,000, {clock}: p50; most | {np.median(of_adds):.0f}; {of_adds.max():.0f} ms | |")


def drift(directory: Path) -> None:
    """Rows that come region by region; lists and calibration are of the first three tenths."""
    data = load("sift")
    pq = pqstore.PQ(M=16, verbose=False).fit(data.train.astype(np.float32), iter=10)
    base, queries = data.base.astype(np.float32), data.queries.astype(np.float32)
    centre = base.mean(axis=0)
    axis = np.linalg.svd(base[::40] - centre, full_matrices=False)[2][0]
    order = np.argsort((base - centre) @ axis)
    tenths = np.array_split(order, 10)
    edge = ((base[tenths[3][:1]] - centre) @ axis)[0]
    first = queries[(queries - centre) @ axis < edge]
    with pqstore.Index.create(directory / "drifted", pq) as index:
        index.add(data.base[np.concatenate(tenths[:3])])
        index.partition()
        budget = index.calibrate(first, recall=0.98, k=10).scan
        for tenth in tenths[3:]:
            for some in np.array_split(tenth, 40):
                index.add(data.base[some])
        title = f"A stream, each tenth a new region, calibrated for .98 at three tenths ({budget:,} rows)"
        _beside_fresh(title, index, directory, queries, 0.98)


def _beside_fresh(title: str, index: pqstore.Index, directory: Path, queries: np.ndarray, recall: float | None) -> None:
    """An index as it has become beside a copy whose lists are made anew: the share of what a scan of all codes finds,
    by the same rows read; with `recall`, those that a calibration says."""
    shutil.copytree(index.path, directory / "fresh")
    with pqstore.Index.open(directory / "fresh") as fresh:
        fresh.partition()
        calls = {
            "as it became": partial(index.search, k=10, threads=1, recall=recall),
            "made anew": partial(fresh.search, k=10, threads=1, recall=recall),
        }
        taken = one_query_at_a_time(calls, queries[:200], 3)
        exact = index.search(queries, 10, nprobe="all").ids
        print(f"\n### {title}\n\n| lists | share of the flat scan's, rows read, runs | us |\n|---|---|---|")
        for (name, call), each in zip(calls.items(), (index, fresh), strict=True):
            hits = call(queries, explain=True)
            read = hits.plan.lists
            found = f"{share(hits.ids, exact):.4f}, {read.rows_read:,.0f} + {read.flat_rows:,}, {read.runs}"
            print(f"| {name}: {each.stats().lists.partitions:,} | {found} | {taken[name] * 1e3:.0f} |")


def filters(directory: Path) -> None:
    """The plan that is chosen beside the others, for filters at random and one that follows the clusters."""
    data = load("sift")
    pq = pqstore.PQ(M=16, verbose=False).fit(data.train.astype(np.float32), iter=10)
    number = np.random.default_rng(0).permutation(len(data.base))
    corner = np.argsort(((data.base[:, :8].astype(np.float32) - 40) ** 2).sum(axis=1)).argsort()
    with pqstore.Index.create(directory / "filters", pq, bulk=True, fields=["n", "corner"]) as index:
        index.add(data.base, payloads=[{"n": int(n), "corner": int(c)} for n, c in zip(number, corner, strict=True)])
    with pqstore.Index.open(directory / "filters") as index:
        index.partition()
        queries = data.queries.astype(np.float32)[:100]
        print("\n### Filters that are used again and again, us a query\n")
        print("| allowed | chosen | us | masked scan | gather | over the best of both | share of the same |")
        print("|---|---|---|---|---|---|---|")
        for field, count in (
            ("n", 200_000),
            ("n", 40_000),
            ("n", 4000),
            ("n", 400),
            ("corner", 40_000),
            ("corner", 400),
        ):
            where = {field: {"$lt": count}}
            calls = {
                "chosen": lambda q, w=where: index.search(q, 10, threads=1, where=w),
                "scan": lambda q, w=where: _all_codes(index, q, w, gathers=False),
                "gather": lambda q, w=where: _all_codes(index, q, w, gathers=True),
            }
            exact = calls["scan"](queries)
            taken = one_query_at_a_time(calls, queries, 4)
            chosen, scan, gather = (taken[name] * 1e3 for name in calls)
            hits = index.search(queries, 10, where=where, explain=True)
            print(
                f"| {count:,} by {field} | {hits.plan.method} | {chosen:.0f} | {scan:.0f} | {gather:.0f} "
                f"| {chosen / min(scan, gather):.2f} | {share(hits.ids, exact.ids):.3f} |"
            )


def _all_codes(index: pqstore.Index, queries: np.ndarray, where: Any, *, gathers: bool) -> Any:
    with patch.object(Selection, "gathers", lambda *_: gathers):
        return index.search(queries, 10, threads=1, where=where, nprobe="all")


def cold(directory: Path) -> None:
    """First searches when nothing of the index is in memory: lists asked for together, and read one after another."""
    index, data = made(directory, "sift", 16, 256)
    index.close()
    path = next((directory / "sift-16-256").glob("*/data.mdb"))
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    taken: dict[str, list[float]] = {"together": [], "one after another": []}
    queries = data.queries.astype(np.float32)
    for turn in range(20):
        for how, times in taken.items():
            asked = contextlib.nullcontext() if how == "together" else patch.object(SnapshotLists, "ask_for")
            with pqstore.Index.open(directory / "sift-16-256") as index, asked:
                index.search(queries[0], 10, threads=1, scan=1)  # the table, and rows that are in no list
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
                begin = time.perf_counter()
                index.search(queries[1 + turn], 10, threads=1, scan=13_000)
                times.append(time.perf_counter() - begin)
    os.close(descriptor)
    print("\n### A first search that reads 13,000 rows, nothing in memory: ms, the median of 20\n")
    print("| lists read | ms |\n|---|---|")
    for how, times in taken.items():
        print(f"| {how} | {np.median(times) * 1e3:.1f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", default="recall,peers,making,adds,filters")
    parser.add_argument("--only", default="", help="of recall and peers: sets with their M, as sift-32,minilm-96")
    parser.add_argument("--clock", default="wall", choices=CLOCKS, help="of recall and peers; cpu where others work")
    parser.add_argument("--rows", type=int, default=4_000_000)
    parser.add_argument("--disk", type=Path, help="where the indexes are made (default: a temporary directory)")
    options = parser.parse_args()
    chosen = [each for each in CONFIGURATIONS if not options.only or f"{each[0]}-{each[1]}" in options.only.split(",")]
    print(f"{machine()}, kernels {pqstore.kernels.active().name}")
    parts: dict[str, Callable[[Path], None]] = {
        "recall": partial(recall_over_budgets, chosen=chosen, clock=CLOCKS[options.clock]),
        "peers": partial(beside_peers, chosen=chosen, clock=CLOCKS[options.clock]),
        "making": partial(making, rows=options.rows),
        "adds": adds,
        "churn": churn,
        "drift": drift,
        "filters": filters,
        "cold": cold,
    }
    for part in options.part.split(","):
        with tempfile.TemporaryDirectory(dir=options.disk) as name:
            parts[part](Path(name))


if __name__ == "__main__":
    main()
