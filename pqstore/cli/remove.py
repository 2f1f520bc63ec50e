"""Remove vectors from an index by id, in one transaction.

examples:
  pqstore remove my-index 17 42
  pqstore remove my-index --ids gone.txt --missing ignore
"""

from __future__ import annotations

import argparse
from typing import Any

from pqstore import Index
from pqstore.cli.files import read_ids
from pqstore.cli.report import Report
from pqstore.errors import InvalidIdError

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("index", metavar="INDEX")
    parser.add_argument("id", metavar="ID", nargs="*", help="ids to remove")
    parser.add_argument("--ids", metavar="FILE", help="more ids: .npy, or text with one a line")
    parser.add_argument("--missing", choices=("error", "ignore"), default="error", help="what to do with unknown ids")


def run(options: argparse.Namespace, report: Report) -> int:
    with Index.open(options.index) as index:
        ids = [_as_id(word, index.id_type) for word in options.id]
        if options.ids is not None:
            ids.extend(_as_id(value, index.id_type) for value in read_ids(options.ids))
        if not ids:
            raise ValueError("name the ids to remove, or give a file of them with --ids")
        count = index.remove(ids, missing=options.missing)
        report.say(f"removed {count:,} vectors; {len(index):,} are left")
    return 0


def _as_id(value: Any, id_type: str) -> int | str:
    if id_type == "str":
        return str(value)
    try:
        return int(value)
    except ValueError as error:
        raise InvalidIdError(f"this index has int64 ids, {value!r} is none") from error
