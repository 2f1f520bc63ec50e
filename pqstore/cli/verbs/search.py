"""Search an index for the nearest vectors of each query.

A table for people; for programs --format json (a line a query) or --out. Distances are squared for l2, inner products
for dot and cosine. With --truth, the true nearest of each query (ids, shape (queries, at least 1), nearest first;
automatic ids are row numbers), it prints recall@1, 10 and 100: the share of the true k nearest among the first k found.

examples:
  pqstore search my-index queries.npy -k 10
  pqstore search my-index queries.npy --format json
  pqstore search my-index queries.npy -k 100 --out found.npz
  pqstore search my-index queries.npy --where '{"lang": "de", "year": {"$gte": 2000}}' --payloads
  pqstore search my-index queries.npy --rerank 100
  pqstore search my-index - < queries.npy
  pqstore search my-index queries.npy --truth neighbors.npy
"""

from __future__ import annotations

import argparse
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from pqstore.cli.inputs.payloads import WHERE_HELP, as_where
from pqstore.cli.inputs.vectors import VECTORS_HELP, read_all
from pqstore.cli.report import Report
from pqstore.errors import DimensionError

if TYPE_CHECKING:
    import numpy.typing as npt

    from pqstore import SearchResult
    from pqstore.cli.results import Hit

__all__ = ["add_arguments", "run"]

# Queries shown as a table.
_SHOWN = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("index", metavar="INDEX")
    parser.add_argument("queries", metavar="QUERIES", help=VECTORS_HELP)
    parser.add_argument("-k", type=int, default=10, help="how many to find (default 10)")
    parser.add_argument(
        "--rerank",
        type=_candidates,
        metavar="R",
        help="score the best R by codes by their originals; auto: as pqstore calibrate found",
    )
    parser.add_argument("--where", metavar="JSON", help=WHERE_HELP)
    parser.add_argument("--allow", metavar="NAME", help="only ids of this saved set (see: pqstore sets)")
    parser.add_argument("--deny", metavar="NAME", help="no ids of this saved set")
    parser.add_argument("--payloads", action="store_true", help="show the payload of each hit")
    parser.add_argument("--format", choices=("table", "json"), default="table", help="json: one line a query")
    parser.add_argument("--out", metavar="FILE", help="write .npz (ids, distances), .npy (ids) or .jsonl instead")
    parser.add_argument("--truth", metavar="NEIGHBORS", help="the true nearest ids: prints recall and times")
    parser.add_argument("--threads", type=int, help="default: all cores")


def run(options: argparse.Namespace, report: Report) -> int:
    from pqstore import Index
    from pqstore.cli.results import write_result

    where = as_where(options.where)
    with Index.open(options.index, readonly=True) as index:
        queries = read_all(options.queries)
        ask = partial(
            index.search,
            threads=options.threads,
            rerank=options.rerank,
            where=where,
            allow=options.allow,
            deny=options.deny,
        )
        result = ask(queries, k=options.k, include=("payload",) if options.payloads else ())
        if options.out is not None:
            write_result(options.out, result)
            report.note(f"wrote {len(queries):,} x {options.k} results to {options.out}")
        if options.truth is not None:
            _report_recall(ask, queries, read_all(options.truth), options, report)
        elif options.out is None:
            _show(result, options.format, report)
    return 0


def _show(result: SearchResult, form: str, report: Report) -> None:
    from pqstore.cli.results import hits_of

    if form == "json":
        for hits in hits_of(result):
            report.json(hits)
        return
    shown = [hit for hits in hits_of(result, _SHOWN) for hit in _lines(hits)]
    columns = ("query", "rank", "id", "distance", *(("payload",) if getattr(result, "payloads", None) else ()))
    report.table(columns, shown)
    if len(result.ids) > _SHOWN:
        report.note(f"{len(result.ids) - _SHOWN:,} queries more: see them with --format json or --out")


def _lines(hits: Hit) -> list[list[str]]:
    from pqstore.cli.json_text import json_text

    pairs = zip(hits["ids"], hits["distances"], strict=True)
    lines = [
        [str(hits["query"]), str(rank), str(id), f"{distance:.6g}"] for rank, (id, distance) in enumerate(pairs, 1)
    ]
    for line, payload in zip(lines, hits.get("payloads", ()), strict=False):
        line.append(json_text(payload))
    return lines


def _candidates(text: str) -> int | str:
    if text == "auto":
        return text
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"a whole number or auto expected, got {text!r}") from None


def _report_recall(
    ask: Any, queries: npt.NDArray[Any], truth: npt.NDArray[Any], options: argparse.Namespace, report: Report
) -> None:
    import numpy as np

    from pqstore.index.recall.share import recall_at

    if len(truth) != len(queries):
        raise DimensionError(f"{len(queries)} queries need {len(queries)} rows of true neighbours, got {len(truth)}")
    # A search cannot give more than it has candidates.
    depth = min(truth.shape[1], 100, options.rerank if isinstance(options.rerank, int) else 100)
    ids = ask(queries, k=depth).ids
    for k in (1, 10, 100):
        if k <= depth:
            report.say(f"recall@{k:<4} {recall_at(k, ids, truth):.4f}")

    single = []
    for query in queries[:: max(1, len(queries) // 200)]:
        started = time.perf_counter()
        ask(query, k=options.k)
        single.append(time.perf_counter() - started)
    started = time.perf_counter()
    ask(queries, k=options.k)
    batch = (time.perf_counter() - started) / len(queries)
    report.say(
        f"time a query, k {options.k}: {np.median(single) * 1e3:.3f} ms one by one (median), "
        f"{batch * 1e3:.3f} ms in one batch of {len(queries)}"
    )
