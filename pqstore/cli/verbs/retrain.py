"""Train a quantizer anew on the vectors that an index keeps, and encode all of them.

The codes become others, the index stays the same. Needs stored originals. Readers and writers go on meanwhile.

examples:
  pqstore retrain my-index
  pqstore retrain my-index --M 32 --opq
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from pqstore.cli.inputs.paths import path
from pqstore.cli.report import Report

if TYPE_CHECKING:
    from pqstore.quantizer import Metric, Quantizer

__all__ = ["add_arguments", "add_training_options", "quantizer_of", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("index", metavar="INDEX", type=path)
    add_training_options(parser)


def add_training_options(parser: argparse.ArgumentParser) -> None:
    """Options of verbs that train an index."""
    parser.add_argument("--M", type=int, help="sub-spaces (default: as the index has it)")
    parser.add_argument("--Ks", type=int, default=256, help="codewords a sub-space, with --M (default 256)")
    parser.add_argument("--opq", action="store_true", help="with --M: train a rotation too")
    parser.add_argument("--sample", type=int, metavar="N", help="vectors to train on (default 20,000)")
    parser.add_argument("--timeout", type=float, metavar="SECONDS", help="to wait for another writer (default 60)")
    parser.add_argument("--threads", type=int, help="default: all cores")


def quantizer_of(options: argparse.Namespace, metric: Metric) -> Quantizer | None:
    """What to train, if the options say it."""
    from pqstore import OPQ, PQ

    if options.M is None:
        if options.opq or options.Ks != 256:
            raise ValueError("--opq and --Ks go with --M")
        return None
    return (OPQ if options.opq else PQ)(M=options.M, Ks=options.Ks, metric=metric, verbose=False)


def run(options: argparse.Namespace, report: Report) -> int:
    from pqstore import Index

    with Index.open(options.index) as index:
        wanted = quantizer_of(options, index.metric)
        index.retrain(wanted, sample=options.sample, threads=options.threads, timeout=options.timeout)
        report.say(f"{index!r}")
    return 0
