"""Show what an index holds, and which kernels search it.

examples:
  pqstore info my-index
  pqstore info
"""

from __future__ import annotations

import argparse
import dataclasses

from pqstore import Index, __version__, kernels
from pqstore.cli.report import Report

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("index", metavar="INDEX", nargs="?", help="leave it out to see the program alone")


def run(options: argparse.Namespace, report: Report) -> int:
    report.rows(
        [
            ("pqstore", __version__),
            ("kernel", f"{kernels.active().name} (available: {', '.join(kernels.available())})"),
            ("threads", kernels.resolve_threads(None)),
        ]
    )
    if options.index is not None:
        with Index.open(options.index, readonly=True) as index:
            stats = index.stats()
            report.rows([(field.name, _text(getattr(stats, field.name))) for field in dataclasses.fields(stats)])
    return 0


def _text(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
