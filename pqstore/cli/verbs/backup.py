"""Copy the newest state of an index to a new one, compacted, while others read and write.

examples:
  pqstore backup my-index saved-index
"""

from __future__ import annotations

import argparse

from pqstore.cli.inputs.paths import path
from pqstore.cli.report import Report

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("index", metavar="INDEX", type=path)
    parser.add_argument("destination", metavar="DESTINATION", type=path, help="the directory to make")


def run(options: argparse.Namespace, report: Report) -> int:
    from pqstore import Index

    with Index.open(options.index, readonly=True) as index:
        index.backup(options.destination)
    with Index.open(options.destination, readonly=True) as copy:
        report.say(f"{copy.path}: {len(copy):,} vectors, {copy.stats().disk_bytes / 1e6:,.1f} MB")
    return 0
