"""Remove the vectors that have expired, or say by which field of their payloads they do.

examples:
  pqstore expire my-index
  pqstore expire my-index --by until
  pqstore expire my-index --never
"""

from __future__ import annotations

import argparse

from pqstore.cli.inputs.paths import path
from pqstore.cli.report import Report

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("index", metavar="INDEX", type=path)
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--by", metavar="NAME", help="from now on vectors expire by the datetimes of this field")
    choice.add_argument("--never", action="store_true", help="from now on vectors do not expire")
    parser.add_argument("--timeout", type=float, metavar="SECONDS", help="to wait for another writer (default 60)")


def run(options: argparse.Namespace, report: Report) -> int:
    from pqstore import Index

    with Index.open(options.index) as index:
        if options.by is not None or options.never:
            index.set_expiry(options.by, timeout=options.timeout)
        if index.expiry is None:
            report.say("vectors of this index do not expire")
        else:
            report.say(f"{index.expire(timeout=options.timeout):,} expired vectors removed")
    return 0
