"""Train an index that has no codes yet on its own vectors, and encode all of them.

Readers and writers go on meanwhile.

examples:
  pqstore train my-index
  pqstore train my-index --M 96 --Ks 16 --sample 50000
"""

from __future__ import annotations

import argparse

from pqstore.cli.inputs.paths import path
from pqstore.cli.report import Report
from pqstore.cli.verbs.retrain import add_training_options, quantizer_of

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("index", metavar="INDEX", type=path)
    add_training_options(parser)


def run(options: argparse.Namespace, report: Report) -> int:
    from pqstore import Index

    with Index.open(options.index) as index:
        wanted = quantizer_of(options, index.metric)
        trained = index.train(wanted, sample=options.sample, threads=options.threads, timeout=options.timeout)
        report.say(f"{index!r}" if trained else f"{options.index} is trained already: pqstore retrain trains it anew")
    return 0
