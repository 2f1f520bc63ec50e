"""Print all records of an index, or those a filter finds: a line of JSON each, number ids ascending.

Lines are as those of pqstore get, of one state of the index, also while others write.

examples:
  pqstore dump my-index --limit 3
  pqstore dump my-index --where '{"lang": "de"}' --vectors --limit 2
  pqstore dump my-index > records.jsonl
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pqstore.cli.inputs.paths import path
from pqstore.cli.inputs.payloads import WHERE_HELP, as_where
from pqstore.cli.records import record_line
from pqstore.cli.report import Report

if TYPE_CHECKING:
    from pqstore import Record

__all__ = ["add_arguments", "run"]

# Records read at a time.
_PAGE = 1000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("index", metavar="INDEX", type=path)
    parser.add_argument("--where", metavar="JSON", help=WHERE_HELP)
    parser.add_argument("--limit", type=int, metavar="N", help="at most so many records (default: all)")
    parser.add_argument("--vectors", action="store_true", help="show the vectors too")


def run(options: argparse.Namespace, report: Report) -> int:
    from pqstore import Index

    if options.limit is not None and options.limit < 0:
        raise ValueError(f"--limit must be at least 0, got {options.limit}")
    where = as_where(options.where)
    include = ("payload", "vector") if options.vectors else ("payload",)
    with Index.open(options.index, readonly=True) as index, index.snapshot() as state:
        count = state.count(where) if options.limit is None else min(options.limit, state.count(where))
        with report.streaming("dumping", count) as advance:
            for record in _records(state, where, count, include):
                report.json(record_line(record))
                advance(1)
    return 0


def _records(state: Any, where: Any, count: int, include: tuple[str, ...]) -> Iterator[Record]:
    """The first `count` records."""
    after = None
    while count > 0:
        page = state.scroll(where, limit=min(count, _PAGE), after=after, include=include)
        yield from page.records
        count, after = count - len(page.records), page.after
