"""Look at records by id: a line of JSON for each.

A line has the id and the payload; with --vectors also the vector, and whether it is the original or what the code
describes. NaN is null, bytes are base64, times are ISO 8601.

examples:
  pqstore get my-index 17 42
  pqstore get my-index 17 --vectors
  pqstore get my-index --ids gone.txt --missing ignore
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from pqstore.cli.inputs.ids import IDS_HELP, as_ids, read_ids
from pqstore.cli.inputs.paths import path
from pqstore.cli.records import record_line
from pqstore.cli.report import Report

if TYPE_CHECKING:
    from pqstore.index import Include

__all__ = ["add_arguments", "run"]

# Records read at a time.
_BLOCK = 1000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("index", metavar="INDEX", type=path)
    parser.add_argument("id", metavar="ID", nargs="*", help="ids to look up")
    parser.add_argument("--ids", metavar="FILE", type=path, help=f"more {IDS_HELP}")
    parser.add_argument("--vectors", action="store_true", help="show the vectors too")
    parser.add_argument(
        "--missing",
        choices=("error", "ignore"),
        default="error",
        help="what to do with unknown ids (default: error, and nothing is shown)",
    )


def run(options: argparse.Namespace, report: Report) -> int:
    from pqstore import Index

    with Index.open(options.index, readonly=True) as index, index.snapshot() as state:
        ids = as_ids(options.id, index.id_type)
        if options.ids is not None:
            ids.extend(read_ids(options.ids, index.id_type, report))
        elif not ids:
            raise ValueError("name the ids to look up, or give a file of them with --ids")
        # An unknown one is found before the first line is printed.
        state.get(ids, include=(), missing=options.missing)
        include: Include = ("payload", "vector") if options.vectors else ("payload",)
        for start in range(0, len(ids), _BLOCK):
            for record in state.get(ids[start : start + _BLOCK], include=include, missing="ignore"):
                if record is not None:
                    report.json(record_line(record))
    return 0
