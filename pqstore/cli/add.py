"""Add vectors from a file to an index, in one transaction.

examples:
  pqstore add my-index more.npy
  pqstore add my-index more.npy --ids more-ids.txt --on-conflict replace
"""

from __future__ import annotations

import argparse

from pqstore import Index
from pqstore.cli.files import blocks_of, read_ids_of, read_vectors
from pqstore.cli.report import Report

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("index", metavar="INDEX")
    parser.add_argument("vectors", metavar="VECTORS.npy", help="the vectors, shape (n, D)")
    parser.add_argument("--ids", metavar="FILE", help="ids: .npy, or text with one a line (default: automatic)")
    parser.add_argument("--on-conflict", choices=("error", "skip", "replace"), default="error")
    parser.add_argument("--threads", type=int, help="default: all cores")


def run(options: argparse.Namespace, report: Report) -> int:
    vectors = read_vectors(options.vectors)
    ids = read_ids_of(vectors, options.ids)
    with Index.open(options.index) as index:
        before = len(index)
        blocks = report.progress(blocks_of(vectors), len(vectors), "adding")
        index.add(iter(blocks), ids=ids, on_conflict=options.on_conflict, threads=options.threads)
        report.say(f"{len(vectors):,} vectors read; the index had {before:,}, has {len(index):,}")
    return 0
