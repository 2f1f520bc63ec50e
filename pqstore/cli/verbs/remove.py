"""Remove vectors from an index by id or by a filter, in one transaction.

examples:
  pqstore remove my-index 17 42
  pqstore remove my-index --ids gone.txt --missing ignore
  pqstore remove my-index --where '{"year": {"$lt": 2000}}'
"""

from __future__ import annotations

import argparse

from pqstore.cli.inputs.ids import IDS_HELP, as_ids, read_ids
from pqstore.cli.inputs.paths import path
from pqstore.cli.inputs.payloads import WHERE_HELP, as_where
from pqstore.cli.report import Report

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("index", metavar="INDEX", type=path)
    parser.add_argument("id", metavar="ID", nargs="*", help="ids to remove")
    parser.add_argument("--ids", metavar="FILE", type=path, help=f"more {IDS_HELP}")
    parser.add_argument("--where", metavar="JSON", help=WHERE_HELP)
    parser.add_argument(
        "--missing",
        choices=("error", "ignore"),
        default="error",
        help="what to do with unknown ids (default: error, and nothing is removed)",
    )


def run(options: argparse.Namespace, report: Report) -> int:
    from pqstore import Index

    where = as_where(options.where)
    with Index.open(options.index) as index:
        if where is not None:
            if options.id or options.ids is not None:
                raise ValueError("give ids or --where, not both")
            report.say(f"removed {index.delete(where=where):,} vectors; {len(index):,} are left")
            return 0
        ids = as_ids(options.id, index.id_type)
        if options.ids is not None:
            ids.extend(read_ids(options.ids, index.id_type, report))
        elif not ids:
            raise ValueError("name the ids to remove, give a file of them with --ids, or a filter with --where")
        count = index.remove(ids, missing=options.missing)
        report.say(f"removed {count:,} vectors; {len(index):,} are left")
    return 0
