"""Save what is sound of a damaged index into a new one; exit status 1 when something was lost.

examples:
  pqstore repair my-index mended-index
"""

from __future__ import annotations

import argparse

from pqstore.cli.inputs.paths import path
from pqstore.cli.report import Report

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("index", metavar="INDEX", type=path, help="the damaged index; it is only read")
    parser.add_argument("destination", metavar="DESTINATION", type=path, help="the directory to make")


def run(options: argparse.Namespace, report: Report) -> int:
    from pqstore import Index

    outcome = Index.repair(options.index, options.destination)
    for loss in outcome.losses:
        report.say(loss)
    lost = f"{outcome.rows_lost:,} rows are known to be lost" if outcome.rows_lost else "no rows are known to be lost"
    report.say(f"{outcome.destination}: {outcome.rows_salvaged:,} rows saved, {lost}")
    return 1 if outcome.losses or outcome.rows_lost else 0
