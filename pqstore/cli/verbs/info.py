"""Show what an index holds, and which kernels search it.

examples:
  pqstore info my-index
  pqstore info my-index --format json
  pqstore info
"""

from __future__ import annotations

import argparse

from pqstore.cli.inputs.paths import path
from pqstore.cli.report import Report

__all__ = ["add_arguments", "run"]

_MOST = 10  # sets shown


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("index", metavar="INDEX", type=path, nargs="?", help="leave it out to see the program alone")
    parser.add_argument("--format", choices=("text", "json"), default="text")


def run(options: argparse.Namespace, report: Report) -> int:
    import dataclasses

    from pqstore import Index, __version__, kernels

    facts: dict[str, object] = {
        "pqstore": __version__,
        "kernel": kernels.active().name,
        "kernels": kernels.available(),
        "threads": kernels.resolve_threads(None),
    }
    if options.index is not None:
        with Index.open(options.index, readonly=True) as index:
            facts |= dataclasses.asdict(index.stats())
    if options.format == "json":
        report.json(facts)
    else:
        report.rows((name, _text(value)) for name, value in facts.items())
    return 0


def _text(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, dict):
        shown = [f"{name} {_text(inner)}" for name, inner in list(value.items())[:_MOST]]
        return ", ".join(shown + ["..."] * (len(value) > _MOST)) or "none"
    if isinstance(value, (list, tuple)):
        return ", ".join(str(item) for item in value) or "none"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
