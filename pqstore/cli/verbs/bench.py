"""Time an index on this machine: searches one by one and in a batch, on one thread and on all, and adding.

Adding is timed in a new index with the same quantizer, in the same directory of the disk, which is thrown away. Without
--queries, queries are vectors of the index with noise; real queries tell more.

examples:
  pqstore bench my-index
  pqstore bench my-index --queries queries.npy -k 100 --seconds 0.2 --format json
"""

from __future__ import annotations

import argparse

from pqstore.cli.inputs.paths import path
from pqstore.cli.inputs.vectors import open_for, read_all
from pqstore.cli.report import Report

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("index", metavar="INDEX", type=path)
    parser.add_argument(
        "--queries", metavar="FILE", type=path, help="queries (default: vectors of the index, with noise)"
    )
    parser.add_argument("-k", type=int, default=10, help="neighbours a query (default 10)")
    parser.add_argument("--seconds", type=float, default=0.5, help="to spend on each figure (default 0.5)")
    parser.add_argument("--format", choices=("table", "json"), default="table", help="json: one line a figure")


def run(options: argparse.Namespace, report: Report) -> int:
    from dataclasses import asdict

    from pqstore import Index, kernels
    from pqstore.cli.measuring.timings import like_stored, time_additions, time_searches
    from pqstore.interop.corpus import QUERIES

    if not 0 < options.seconds < float("inf"):
        raise ValueError(f"--seconds must be above 0, got {options.seconds}")
    with Index.open(options.index, readonly=True) as index:
        if len(index) == 0:
            raise ValueError(f"{options.index} is empty: there is nothing to time")
        queries = (
            like_stored(index, 200) if options.queries is None else read_all(open_for(options.queries, report, QUERIES))
        )
        if len(queries) == 0:
            raise ValueError(f"{options.queries} holds no queries")
        report.note(f"{index!r}, kernel {kernels.active().name}")
        # One thread and all; each once where they are the same.
        counts = sorted({1, kernels.resolve_threads(None)})
        timings = [
            *time_searches(index, queries, options.k, counts, options.seconds),
            *time_additions(index, counts, options.seconds),
        ]
    if options.format == "json":
        for timing in timings:
            report.json(asdict(timing))
        return 0
    report.table(
        ("what", "threads", "times", "median", "a second"),
        (
            (t.what, str(t.threads), str(t.repetitions), f"{t.milliseconds:,.3f} ms", f"{t.per_second:,.0f}")
            for t in timings
        ),
    )
    return 0
