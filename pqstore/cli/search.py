"""Search an index for the nearest vectors of each query.

With --truth, the true nearest of each query (ids, shape (queries, at least 1), nearest first; automatic ids are row
numbers), it prints recall@1, 10 and 100: the share of the true k nearest among the first k found.

examples:
  pqstore search my-index queries.npy -k 10
  pqstore search my-index queries.npy -k 100 --out found.npz
  pqstore search my-index queries.npy --truth neighbors.npy
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
import numpy.typing as npt

from pqstore import Index, SearchResult
from pqstore.cli.files import read_vectors, write_result
from pqstore.cli.report import Report
from pqstore.errors import DimensionError

__all__ = ["add_arguments", "run"]

# Queries shown when the result goes to no file.
_SHOWN = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("index", metavar="INDEX")
    parser.add_argument("queries", metavar="QUERIES.npy", help="the queries, shape (n, D)")
    parser.add_argument("-k", type=int, default=10, help="how many to find (default 10)")
    parser.add_argument("--out", metavar="FILE", help="write .npz (ids and distances) or .npy (ids)")
    parser.add_argument("--truth", metavar="NEIGHBORS.npy", help="the true nearest ids: prints recall and times")
    parser.add_argument("--threads", type=int, help="default: all cores")


def run(options: argparse.Namespace, report: Report) -> int:
    queries = read_vectors(options.queries)
    with Index.open(options.index, readonly=True) as index:
        result = index.search(queries, k=options.k, threads=options.threads)
        if options.out is not None:
            write_result(options.out, *result)
            report.say(f"wrote {len(queries):,} x {options.k} results to {options.out}")
        if options.truth is not None:
            _report_recall(index, queries, read_vectors(options.truth), options, report)
        elif options.out is None:
            _show(result, report)
    return 0


def _show(result: SearchResult, report: Report) -> None:
    for number, (ids, distances) in enumerate(zip(*result, strict=True)):
        if number == _SHOWN:
            report.say(f"... and {len(result.ids) - _SHOWN:,} queries more: see --out")
            break
        found = "  ".join(f"{id}:{distance:.6g}" for id, distance in zip(ids.tolist(), distances, strict=True))
        report.say(f"query {number}: {found}")


def _report_recall(
    index: Index, queries: npt.NDArray[Any], truth: npt.NDArray[Any], options: argparse.Namespace, report: Report
) -> None:
    if len(truth) != len(queries):
        raise DimensionError(f"{len(queries)} queries need {len(queries)} rows of true neighbours, got {len(truth)}")
    depth = min(truth.shape[1], 100)
    found = index.search(queries, k=depth, threads=options.threads).ids
    for k in (1, 10, 100):
        if k <= depth:
            report.say(f"recall@{k:<4} {recall_at(k, found, truth):.4f}")

    single = []
    for query in queries[:: max(1, len(queries) // 200)]:
        started = time.perf_counter()
        index.search(query, k=options.k, threads=options.threads)
        single.append(time.perf_counter() - started)
    started = time.perf_counter()
    index.search(queries, k=options.k, threads=options.threads)
    batch = (time.perf_counter() - started) / len(queries)
    report.say(
        f"time a query, k {options.k}: {np.median(single) * 1e3:.3f} ms one by one (median), "
        f"{batch * 1e3:.3f} ms in one batch of {len(queries)}"
    )


def recall_at(k: int, found: npt.NDArray[Any], truth: npt.NDArray[Any]) -> float:
    """Mean share of the true k nearest among the first k found."""
    hits = [len(set(a.tolist()) & set(b.tolist())) for a, b in zip(found[:, :k], truth[:, :k], strict=True)]
    return float(np.mean(hits)) / k
