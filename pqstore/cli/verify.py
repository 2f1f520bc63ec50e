"""Check an index; exit status 1 when something is wrong with it.

examples:
  pqstore verify my-index
  pqstore verify my-index --deep
"""

from __future__ import annotations

import argparse

from pqstore import Index
from pqstore.cli.report import Report

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("index", metavar="INDEX")
    parser.add_argument("--deep", action="store_true", help="check every row, not every record alone")


def run(options: argparse.Namespace, report: Report) -> int:
    with Index.open(options.index, readonly=True) as index:
        problems = index.verify(deep=options.deep)
        for problem in problems:
            report.say(str(problem))
        if not problems:
            report.say(f"sound: {len(index):,} vectors")
    return 1 if problems else 0
