"""List the saved sets of ids of an index, or save, show or drop one.

A set is what --allow and --deny of search and count take. It names ids: those that no vector has are kept too.

examples:
  pqstore sets my-index
  pqstore sets my-index --save mine --ids mine.txt
  pqstore sets my-index --show mine
  pqstore sets my-index --drop mine
"""

from __future__ import annotations

import argparse

from pqstore.cli.inputs.ids import IDS_HELP, read_ids
from pqstore.cli.inputs.paths import path
from pqstore.cli.report import Report

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("index", metavar="INDEX", type=path)
    actions = parser.add_mutually_exclusive_group()
    actions.add_argument("--save", metavar="NAME", help="keep the ids of --ids under this name")
    actions.add_argument("--show", metavar="NAME", help="print the ids of a set, one a line")
    actions.add_argument("--drop", metavar="NAME", help="forget a set")
    parser.add_argument("--format", choices=("text", "json"), default="text", help="of --show; json: as --ids x.jsonl")
    parser.add_argument("--ids", metavar="FILE", type=path, help=IDS_HELP)


def run(options: argparse.Namespace, report: Report) -> int:
    from pqstore import Index

    if (options.ids is None) != (options.save is None):
        raise ValueError("--save NAME and --ids FILE go together")
    changes = options.save is not None or options.drop is not None
    with Index.open(options.index, readonly=not changes) as index:
        if options.save is not None:
            count = index.save_set(options.save, read_ids(options.ids, index.id_type, report))
            report.say(f"saved {count:,} ids as {options.save!r}")
        elif options.drop is not None:
            index.drop_set(options.drop)
            report.say(f"dropped {options.drop!r}")
        elif options.show is not None:
            show = report.json if options.format == "json" else report.say
            for id in index.saved_set(options.show).tolist():
                show(id if options.format == "json" else str(id))
        else:
            report.table(("set", "ids"), [[name, f"{count:,}"] for name, count in index.sets.items()])
    return 0
