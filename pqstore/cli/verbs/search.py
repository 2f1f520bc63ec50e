"""Search an index for the nearest vectors of each query.

A table of the first ten queries for people; for programs --format json (a line a query, printed as it is found) or
--out. Of an HDF5 file its data set test is taken, where there is one. Distances are squared for l2, inner products for
dot and cosine. With --truth, the true nearest of each query (ids, shape (queries, at least 1), nearest first;
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
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from pqstore.cli.inputs.metrics import note_metric
from pqstore.cli.inputs.partitions import as_nprobe
from pqstore.cli.inputs.paths import path
from pqstore.cli.inputs.payloads import WHERE_HELP, as_where
from pqstore.cli.inputs.vectors import VECTORS_HELP, count_of, open_for, read_all
from pqstore.cli.json_text import json_text
from pqstore.cli.report import Report
from pqstore.errors import DimensionError

if TYPE_CHECKING:
    import numpy.typing as npt

    from pqstore import SearchResult
    from pqstore.cli.results import Hit

__all__ = ["add_arguments", "run"]

# Queries shown as a table.
_SHOWN = 10
# Queries, and hits, of one search.
_BATCH = 1024
_BATCH_HITS = 1 << 22


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("index", metavar="INDEX", type=path)
    parser.add_argument("queries", metavar="QUERIES", type=path, help=VECTORS_HELP)
    parser.add_argument("-k", type=int, default=10, help="how many to find (default 10)")
    parser.add_argument(
        "--rerank",
        type=_candidates,
        metavar="R",
        help="score the best R by codes by their originals; auto: as pqstore calibrate found",
    )
    parser.add_argument(
        "--nprobe",
        type=as_nprobe,
        metavar="N",
        help="read so many of the nearest lists; all: all codes, which is exact",
    )
    parser.add_argument(
        "--scan", type=int, metavar="ROWS", help="read lists until there are so many rows (see: pqstore partition)"
    )
    parser.add_argument(
        "--recall", type=float, metavar="R", help="read and re-rank what calibrate found for this recall"
    )
    parser.add_argument("--where", metavar="JSON", help=WHERE_HELP)
    parser.add_argument("--allow", metavar="NAME", help="only ids of this saved set (see: pqstore sets)")
    parser.add_argument("--deny", metavar="NAME", help="no ids of this saved set")
    parser.add_argument("--group-by", metavar="FIELD", help="only the nearest of each value of this payload field")
    parser.add_argument("--per-group", type=int, default=1, metavar="N", help="with --group-by: so many of each value")
    parser.add_argument(
        "--mmr", type=float, metavar="WEIGHT", help="nearness against difference: 1 nearness, 0 difference"
    )
    parser.add_argument("--payloads", action="store_true", help="show the payload of each hit")
    parser.add_argument("--format", choices=("table", "json"), default="table", help="json: one line a query")
    parser.add_argument(
        "--out", metavar="FILE", type=path, help="write .npz (ids, distances), .npy (ids) or .jsonl instead"
    )
    parser.add_argument("--truth", metavar="NEIGHBORS", type=path, help="the true nearest ids: prints recall and times")
    parser.add_argument("--threads", type=int, help="default: all cores")


def run(options: argparse.Namespace, report: Report) -> int:
    from pqstore import Index
    from pqstore.cli.results import check_result_name, write_results
    from pqstore.interop.corpus import QUERIES, TRUTH

    if options.truth is not None and (options.group_by is not None or options.mmr is not None):
        raise ValueError("--truth is of the nearest of all: it does not go with --group-by or --mmr")
    places = options.k * (options.per_group if options.group_by is not None else 1)
    if options.out is not None:
        check_result_name(options.out, options.payloads)
    # One state for all queries, however long they take.
    with Index.open(options.index, readonly=True) as index, index.snapshot() as state:
        corpus = open_for(options.queries, report, QUERIES)
        note_metric(corpus.statements, index.metric, "the index", report)
        ask = _asking(state.search, options)
        truth = None if options.truth is None else read_all(open_for(options.truth, report, TRUTH))
        # Recall needs them twice; of none there is no block.
        queries = None if truth is None and count_of(corpus) else read_all(corpus)
        blocks = corpus.blocks(_batch_rows(places)) if queries is None else iter([queries])
        include = ("payload",) if options.payloads else ()
        answers = (ask(block, k=options.k, include=include) for block in blocks)
        if options.out is not None:
            rows = count_of(corpus)
            with report.counter("searching", rows) as advance:
                write_results(options.out, _counted(answers, advance))
            report.note(f"wrote {rows:,} x {places} results to {options.out}")
        elif truth is None and options.format == "json":
            _print_lines(answers, count_of(corpus), report)
        elif truth is None:
            first = next(corpus.blocks(_SHOWN), None)
            shown = [] if first is None else [ask(first, k=options.k, include=include)]
            _show(shown, count_of(corpus), options.payloads, report)
        if truth is not None:
            assert queries is not None
            _report_recall(ask, queries, truth, options, report)
    return 0


def _asking(search: Callable[..., Any], options: argparse.Namespace) -> Callable[..., Any]:
    """The search, with what the options say of it but for k."""
    return partial(
        search,
        threads=options.threads,
        rerank=options.rerank,
        nprobe=options.nprobe,
        scan=options.scan,
        recall=options.recall,
        where=as_where(options.where),
        allow=options.allow,
        deny=options.deny,
        group_by=options.group_by,
        per_group=options.per_group,
        mmr=options.mmr,
    )


def _batch_rows(k: int) -> int:
    """Queries a search: many enough for its threads, few enough that their answers are little beside the index."""
    return max(1, min(_BATCH, _BATCH_HITS // max(k, 1)))


def _counted(answers: Iterable[SearchResult], advance: Callable[[int], None]) -> Iterator[SearchResult]:
    for answer in answers:
        yield answer
        advance(len(answer.ids))


def _print_lines(answers: Iterable[SearchResult], count: int, report: Report) -> None:
    from pqstore.cli.results import hits_of

    with report.streaming("searching", count) as advance:
        for hits in hits_of(answers):
            report.json(hits)
            advance(1)


def _show(answers: list[SearchResult], count: int, with_payloads: bool, report: Report) -> None:
    from pqstore.cli.results import hits_of

    lines = [line for hits in hits_of(answers) for line in _lines(hits)]
    report.table(("query", "rank", "id", "distance", *(("payload",) if with_payloads else ())), lines)
    if count > _SHOWN:
        report.note(f"{count - _SHOWN:,} queries more: see them with --format json or --out")


def _lines(hits: Hit) -> list[list[str]]:
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
