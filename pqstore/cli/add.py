"""Add vectors from files to an index, in one transaction.

examples:
  pqstore add my-index more.npy
  pqstore add my-index more.npy --ids more-ids.txt --on-conflict replace
  pqstore add my-index - < more.npy
"""

from __future__ import annotations

import argparse

from pqstore.cli.ids import IDS_HELP
from pqstore.cli.report import Report
from pqstore.cli.vectors import VECTORS_HELP, open_vectors

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("index", metavar="INDEX")
    parser.add_argument("vectors", metavar="VECTORS", help=VECTORS_HELP)
    parser.add_argument("--ids", metavar="FILE", help=f"{IDS_HELP} (default: those in VECTORS, or automatic)")
    parser.add_argument(
        "--on-conflict",
        choices=("error", "skip", "replace"),
        default="error",
        help="what to do with ids that are in the index already (default: error, and nothing is added)",
    )
    parser.add_argument("--threads", type=int, help="default: all cores")


def run(options: argparse.Namespace, report: Report) -> int:
    from pqstore import Index

    with Index.open(options.index) as index:
        vectors = open_vectors(options.vectors, options.ids)
        before = len(index)
        blocks = report.progress(vectors.corpus.blocks(8192), vectors.n, "adding")
        index.add(blocks, ids=vectors.all_ids(), on_conflict=options.on_conflict, threads=options.threads)
        report.say(f"{vectors.n:,} vectors read; the index had {before:,}, has {len(index):,}")
    return 0
