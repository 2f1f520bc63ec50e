"""Give the disk back what removed vectors took, beside readers and other handles.

examples:
  pqstore compact my-index
  pqstore compact my-index --timeout 5
"""

from __future__ import annotations

import argparse

from pqstore.cli.inputs.paths import path
from pqstore.cli.report import Report

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("index", metavar="INDEX", type=path)
    parser.add_argument("--timeout", type=float, metavar="SECONDS", help="to wait for another writer (default 60)")


def run(options: argparse.Namespace, report: Report) -> int:
    from pqstore import Index

    with Index.open(options.index) as index:
        before = index.stats()
        index.compact(options.timeout)
        after = index.stats()
        report.say(
            f"{before.disk_bytes / 1e6:,.1f} MB before, {after.disk_bytes / 1e6:,.1f} MB after; "
            f"{before.dead_rows:,} removed rows before, {after.dead_rows:,} after"
        )
    return 0
