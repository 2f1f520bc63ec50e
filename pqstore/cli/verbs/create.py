"""Make an empty index that trains itself once it has enough vectors; until then its searches are exact.

With --M it becomes codes of M bytes; without, as many bytes as an eighth of the dimension, about.

examples:
  pqstore create new-index --dim 384
  pqstore create new-index --dim 384 --metric cosine --id-type str --fields lang,year
  pqstore create new-index --dim 384 --M 48 --opq --train-at 20000
  pqstore create new-index --dim 384 --train manual
  pqstore create new-index --dim 384 --expiry until
"""

from __future__ import annotations

import argparse
from typing import Any

from pqstore.cli.inputs.paths import path
from pqstore.cli.report import Report

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("index", metavar="INDEX", type=path, help="the directory to make")
    parser.add_argument("--dim", type=int, required=True, help="dimension of the vectors")
    parser.add_argument("--M", type=int, help="sub-spaces of the codes to come: must divide DIM")
    parser.add_argument("--Ks", type=int, default=256, help="codewords a sub-space, with --M (default 256)")
    parser.add_argument("--opq", action="store_true", help="with --M: train a rotation too")
    parser.add_argument("--metric", choices=("l2", "dot", "cosine"), default="l2", help="default: l2")
    parser.add_argument("--id-type", choices=("int64", "str"), default="int64", help="default: int64")
    parser.add_argument(
        "--originals",
        choices=("float32", "float16", "int8", "none"),
        default="float16",
        help="how vectors are kept once there are codes, for re-ranking (default: float16)",
    )
    parser.add_argument("--fields", metavar="NAME,...", help="fields of payloads that get an index, for quick filters")
    parser.add_argument("--expiry", metavar="NAME", help="field of payloads with datetimes at which vectors expire")
    parser.add_argument("--train", choices=("auto", "background", "manual"), default="auto", help="default: auto")
    parser.add_argument(
        "--retrain", choices=("auto", "background", "manual"), default="manual", help="when data move; default: manual"
    )
    parser.add_argument("--train-at", type=int, metavar="N", help="vectors to train at (default: by --Ks, 10,240)")
    parser.add_argument("--durability", choices=("full", "relaxed"), default="full", help="default: full")


def run(options: argparse.Namespace, report: Report) -> int:
    from pqstore import OPQ, PQ, Index

    if options.M is None and (options.opq or options.Ks != 256):
        raise ValueError("--opq and --Ks go with --M")
    settings: dict[str, Any] = {} if options.train_at is None else {"train_at": options.train_at}
    kind = OPQ if options.opq else PQ
    with Index.create(
        options.index,
        None if options.M is None else kind(M=options.M, Ks=options.Ks, metric=options.metric, verbose=False),
        options.id_type,
        options.metric,
        options.durability,
        dim=options.dim,
        originals=None if options.originals == "none" else options.originals,
        fields=options.fields.split(",") if options.fields else (),
        expiry=options.expiry,
        train=options.train,
        retrain=options.retrain,
        **settings,
    ) as index:
        report.say(f"{index!r}")
    return 0
