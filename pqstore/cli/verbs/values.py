"""List the values of a payload field, ascending, and how many vectors have each: a line of JSON for each.

examples:
  pqstore values my-index lang
  pqstore values my-index lang --prefix d --limit 20
  pqstore values my-index year --where '{"lang": "de"}'
"""

from __future__ import annotations

import argparse

from pqstore.cli.inputs.paths import path
from pqstore.cli.inputs.payloads import WHERE_HELP, as_where
from pqstore.cli.json_text import json_text
from pqstore.cli.report import Report

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("index", metavar="INDEX", type=path)
    parser.add_argument("field", metavar="FIELD", help="its name, as filters have it")
    parser.add_argument("--where", metavar="JSON", help=WHERE_HELP)
    parser.add_argument("--prefix", metavar="TEXT", help="only texts that begin so")
    parser.add_argument("--limit", type=int, default=100, metavar="N", help="values at most (default 100)")


def run(options: argparse.Namespace, report: Report) -> int:
    from pqstore import Index

    where = as_where(options.where)
    with Index.open(options.index, readonly=True) as index:
        found = index.field_values(options.field, where, prefix=options.prefix, limit=options.limit)
    for value, rows in found.values:
        report.say(json_text({"value": value, "vectors": rows}))
    if found.after is not None:
        report.note(f"there are more than {options.limit:,} values: see --limit")
    return 0
