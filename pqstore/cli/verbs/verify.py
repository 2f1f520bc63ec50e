"""Check an index; exit status 1 when something is wrong with it.

examples:
  pqstore verify my-index
  pqstore verify my-index --deep --format json
"""

from __future__ import annotations

import argparse

from pqstore.cli.inputs.paths import path
from pqstore.cli.report import Report

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("index", metavar="INDEX", type=path)
    parser.add_argument("--deep", action="store_true", help="look up every id, not a sample, and walk all pages")
    parser.add_argument("--format", choices=("text", "json"), default="text", help="json: one problem a line")


def run(options: argparse.Namespace, report: Report) -> int:
    import dataclasses

    from pqstore import Index

    with Index.open(options.index, readonly=True) as index:
        problems = index.verify(deep=options.deep)
        for problem in problems:
            if options.format == "json":
                report.json(dataclasses.asdict(problem))
            else:
                report.say(str(problem))
        if not problems and options.format == "text":
            report.say(f"sound: {len(index):,} vectors")
    return 1 if problems else 0
