"""Divide an index into inverted lists, so that searches read the nearest of them, not every code.

Lists follow adds and removes by themselves. Given again it makes them anew, which growth to several times the vectors
asks for; readers and writers go on meanwhile, and a call that was killed is gone on with. --partitions none drops them.

examples:
  pqstore partition my-index
  pqstore partition my-index --partitions 64
  pqstore partition my-index --partitions none
"""

from __future__ import annotations

import argparse
import time

from pqstore.cli.inputs.partitions import PARTITIONS_HELP, as_partitions
from pqstore.cli.inputs.paths import path
from pqstore.cli.report import Report

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("index", metavar="INDEX", type=path)
    parser.add_argument(
        "--partitions", type=as_partitions, default="auto", metavar="N", help=f"{PARTITIONS_HELP} (default auto)"
    )
    parser.add_argument("--sample", type=int, metavar="ROWS", help="vectors to train on (default: 64 for each list)")
    parser.add_argument("--threads", type=int, help="default: all cores")
    parser.add_argument("--timeout", type=float, metavar="SECONDS", help="to wait for another writer (default 60)")


def run(options: argparse.Namespace, report: Report) -> int:
    from pqstore import Index

    with Index.open(options.index) as index:
        started = time.perf_counter()
        made = index.partition(
            options.partitions, sample=options.sample, threads=options.threads, timeout=options.timeout
        )
        report.say(f"{made} ({time.perf_counter() - started:.1f} s)")
    return 0
