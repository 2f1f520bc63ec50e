"""Count the vectors of an index, or those that a filter finds.

examples:
  pqstore count my-index
  pqstore count my-index --where '{"lang": "de", "year": {"$gte": 2000}}'
  pqstore count my-index --allow mine --where '{"lang": "de"}'
"""

from __future__ import annotations

import argparse

from pqstore.cli.inputs.paths import path
from pqstore.cli.inputs.payloads import WHERE_HELP, as_where
from pqstore.cli.report import Report

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("index", metavar="INDEX", type=path)
    parser.add_argument("--where", metavar="JSON", help=WHERE_HELP)
    parser.add_argument("--allow", metavar="NAME", help="only ids of this saved set (see: pqstore sets)")
    parser.add_argument("--deny", metavar="NAME", help="no ids of this saved set")


def run(options: argparse.Namespace, report: Report) -> int:
    from pqstore import Index

    with Index.open(options.index, readonly=True) as index:
        report.say(str(index.count(as_where(options.where), allow=options.allow, deny=options.deny)))
    return 0
