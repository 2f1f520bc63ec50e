"""Train a quantizer and build an index from a file of vectors.

examples:
  pqstore build vectors.npy my-index --M 16
  pqstore build vectors.npy my-index --M 48 --opq --metric cosine --train sample.npy
  pqstore build vectors.npy my-index --M 16 --ids names.txt
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from pqstore import OPQ, PQ, Index
from pqstore.cli.files import blocks_of, read_ids_of, read_vectors
from pqstore.cli.report import Report
from pqstore.index import IdType

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("vectors", metavar="VECTORS.npy", help="the vectors, shape (n, D)")
    parser.add_argument("index", metavar="INDEX", help="the directory to make")
    parser.add_argument("--M", type=int, required=True, help="sub-spaces: bytes a vector where Ks is 256")
    parser.add_argument("--Ks", type=int, default=256, help="codewords a sub-space (default 256)")
    parser.add_argument("--opq", action="store_true", help="train a rotation too: slower to train, better recall")
    parser.add_argument("--metric", choices=("l2", "dot", "cosine"), default="l2")
    parser.add_argument("--train", metavar="FILE", help="vectors to train on (default: a sample of VECTORS)")
    parser.add_argument("--ids", metavar="FILE", help="ids: .npy, or text with one a line (default: 0, 1, 2, ...)")
    parser.add_argument("--iter", type=int, default=20, help="iterations of k-means (default 20)")
    parser.add_argument("--seed", type=int, default=123)
    parser.add_argument("--threads", type=int, help="default: all cores")


def run(options: argparse.Namespace, report: Report) -> int:
    vectors = read_vectors(options.vectors)
    training = vectors if options.train is None else read_vectors(options.train)
    ids = read_ids_of(vectors, options.ids)
    kind = OPQ if options.opq else PQ
    quantizer = kind(M=options.M, Ks=options.Ks, metric=options.metric, verbose=False)

    started = time.perf_counter()
    iterations = {"pq_iter" if options.opq else "iter": options.iter}
    quantizer.fit(training, seed=options.seed, threads=options.threads, **iterations)
    trained = time.perf_counter()
    report.say(f"trained {quantizer!r} in {trained - started:.1f} s")

    id_type: IdType = "str" if isinstance(ids, list) else "int64"
    with Index.create(options.index, quantizer, id_type=id_type, bulk=True) as index:
        blocks = report.progress(blocks_of(vectors), len(vectors), "adding")
        index.add(iter(blocks), ids=ids, threads=options.threads)
        index.publish()
        seconds = time.perf_counter() - trained
        stats = index.stats()
        report.say(f"added {len(index):,} vectors in {seconds:.1f} s ({len(index) / max(seconds, 1e-9):,.0f} rows/s)")
        float_bytes = 4 * vectors.shape[1]
        report.say(
            f"{index.path}: {stats.file_bytes / 1e6:.1f} MB, {stats.file_bytes / max(len(index), 1):.1f} B a vector "
            f"(float32 would take {float_bytes}); vectors of {np.dtype(vectors.dtype)}"
        )
    return 0
