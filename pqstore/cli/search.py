"""Search an index for the nearest vectors of each query.

A table for people; for programs --format json (a line a query) or --out. Distances are squared for l2, inner products
for dot and cosine. With --truth, the true nearest of each query (ids, shape (queries, at least 1), nearest first;
automatic ids are row numbers), it prints recall@1, 10 and 100: the share of the true k nearest among the first k found.

examples:
  pqstore search my-index queries.npy -k 10
  pqstore search my-index queries.npy --format json
  pqstore search my-index queries.npy -k 100 --out found.npz
  pqstore search my-index - < queries.npy
  pqstore search my-index queries.npy --truth neighbors.npy
"""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING, Any

from pqstore.cli.report import Report
from pqstore.cli.vectors import VECTORS_HELP, read_all
from pqstore.errors import DimensionError

if TYPE_CHECKING:
    import numpy.typing as npt

    from pqstore import Index, SearchResult
    from pqstore.cli.results import Hit

__all__ = ["add_arguments", "run"]

# Queries shown as a table.
_SHOWN = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("index", metavar="INDEX")
    parser.add_argument("queries", metavar="QUERIES", help=VECTORS_HELP)
    parser.add_argument("-k", type=int, default=10, help="how many to find (default 10)")
    parser.add_argument("--format", choices=("table", "json"), default="table", help="json: one line a query")
    parser.add_argument("--out", metavar="FILE", help="write .npz (ids, distances), .npy (ids) or .jsonl instead")
    parser.add_argument("--truth", metavar="NEIGHBORS", help="the true nearest ids: prints recall and times")
    parser.add_argument("--threads", type=int, help="default: all cores")


def run(options: argparse.Namespace, report: Report) -> int:
    from pqstore import Index
    from pqstore.cli.results import write_result

    with Index.open(options.index, readonly=True) as index:
        queries = read_all(options.queries)
        result = index.search(queries, k=options.k, threads=options.threads)
        if options.out is not None:
            write_result(options.out, result)
            report.note(f"wrote {len(queries):,} x {options.k} results to {options.out}")
        if options.truth is not None:
            _report_recall(index, queries, read_all(options.truth), options, report)
        elif options.out is None:
            _show(result, options.format, report)
    return 0


def _show(result: SearchResult, form: str, report: Report) -> None:
    from pqstore.cli.results import hits_of

    if form == "json":
        for hits in hits_of(result):
            report.json(hits)
        return
    shown = (hit for hits in hits_of(result, _SHOWN) for hit in _lines(hits))
    report.table(("query", "rank", "id", "distance"), shown)
    if len(result.ids) > _SHOWN:
        report.note(f"{len(result.ids) - _SHOWN:,} queries more: see them with --format json or --out")


def _lines(hits: Hit) -> list[tuple[str, str, str, str]]:
    pairs = zip(hits["ids"], hits["distances"], strict=True)
    return [(str(hits["query"]), str(rank), str(id), f"{distance:.6g}") for rank, (id, distance) in enumerate(pairs, 1)]


def _report_recall(
    index: Index, queries: npt.NDArray[Any], truth: npt.NDArray[Any], options: argparse.Namespace, report: Report
) -> None:
    import numpy as np

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
    import numpy as np

    hits = [len(set(a.tolist()) & set(b.tolist())) for a, b in zip(found[:, :k], truth[:, :k], strict=True)]
    return float(np.mean(hits)) / k
