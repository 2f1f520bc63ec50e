"""Find how much a search must read for a recall, and keep that with the index.

What is kept serves `--rerank auto` and `search --recall`. It is found by comparing with exact search over all stored
originals: some seconds for a million vectors and a hundred queries.

examples:
  pqstore calibrate my-index queries.npy
  pqstore calibrate my-index queries.npy --recall 0.99 -k 20
"""

from __future__ import annotations

import argparse

from pqstore.cli.inputs.metrics import note_metric
from pqstore.cli.inputs.paths import path
from pqstore.cli.inputs.vectors import VECTORS_HELP, open_for, read_all
from pqstore.cli.report import Report

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("index", metavar="INDEX", type=path)
    parser.add_argument(
        "queries", metavar="QUERIES", type=path, help=f"as they will come, a hundred or so; {VECTORS_HELP}"
    )
    parser.add_argument("--recall", type=float, default=0.95, help="share of the true k nearest to find (default 0.95)")
    parser.add_argument("-k", type=int, default=10, help="what searches will ask for (default 10)")
    parser.add_argument("--threads", type=int, help="default: all cores")


def run(options: argparse.Namespace, report: Report) -> int:
    from pqstore import Index
    from pqstore.interop.corpus import QUERIES

    with Index.open(options.index) as index:
        queries = open_for(options.queries, report, QUERIES)
        note_metric(queries.statements, index.metric, "the index", report)
        calibration = index.calibrate(read_all(queries), options.recall, options.k, options.threads)
    lists = "" if calibration.scan is None else f" with {calibration.scan:,} rows of lists"
    worst = "" if calibration.worst is None else f"; {calibration.worst:.4f} of the worst tenth of queries"
    report.say(
        f"rerank {calibration.rerank}{lists} finds {calibration.reached:.4f} of the true {calibration.k} nearest"
        f"{worst} ({calibration.queries:,} queries, {calibration.vectors:,} vectors)"
    )
    if calibration.reached < options.recall:
        report.note(f"that is the most that was tried, and less than {options.recall}: use more bytes a code")
    return 0
