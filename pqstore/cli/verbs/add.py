"""Add vectors from files to an index, in one transaction.

examples:
  pqstore add my-index more.npy
  pqstore add my-index more.npy --ids more-ids.txt --on-conflict replace
  pqstore add my-index more.npy --payloads more.jsonl
  pqstore add my-index - < more.npy
"""

from __future__ import annotations

import argparse

from pqstore.cli.inputs.columns import add_column_options, wanted_columns
from pqstore.cli.inputs.ids import IDS_HELP
from pqstore.cli.inputs.metrics import note_metric
from pqstore.cli.inputs.paths import path
from pqstore.cli.inputs.payloads import PAYLOADS_HELP
from pqstore.cli.inputs.vectors import VECTORS_HELP, open_vectors
from pqstore.cli.report import Report

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("index", metavar="INDEX", type=path)
    parser.add_argument("vectors", metavar="VECTORS", type=path, help=VECTORS_HELP)
    parser.add_argument(
        "--ids", metavar="FILE", type=path, help=f"{IDS_HELP} (default: those in VECTORS, or automatic)"
    )
    parser.add_argument("--payloads", metavar="FILE", type=path, help=PAYLOADS_HELP)
    add_column_options(parser)
    parser.add_argument(
        "--on-conflict",
        choices=("error", "skip", "replace"),
        default="error",
        help="what to do with ids that are in the index already (default: error, and nothing is added)",
    )
    parser.add_argument("--threads", type=int, help="default: all cores")


def run(options: argparse.Namespace, report: Report) -> int:
    from dataclasses import replace

    from pqstore import Index

    with Index.open(options.index) as index:
        wanted = replace(wanted_columns(options), single=True)
        vectors = open_vectors(
            options.vectors, report, wanted, ids=options.ids, payloads=options.payloads, id_type=index.id_type
        )
        note_metric(vectors.corpus.statements, index.metric, "the index", report)
        vectors.refuse_repeated_ids()
        before, ids = len(index), vectors.all_ids()
        blocks = report.progress(vectors.corpus.blocks(8192), vectors.n, "adding")
        index.add(blocks, ids, options.on_conflict, options.threads, payloads=vectors.payloads())
        report.say(f"{vectors.n:,} vectors read; the index had {before:,}, has {len(index):,}")
    return 0
