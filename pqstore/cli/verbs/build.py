"""Train a quantizer and build an index from files of vectors.

The index grows in INDEX.building, which becomes INDEX when it is whole. A build that was killed goes on where it
stopped when the same command is given again; training is not repeated. Vectors from standard input need --train.

examples:
  pqstore build vectors.npy new-index --M 16
  pqstore build vectors.npy new-index --M 16 --opq --metric cosine --train sample.npy
  pqstore build vectors.npy new-index --M 16 --ids names.txt
  pqstore build vectors.npy new-index --M 16 --originals float16 --payloads payloads.jsonl --fields lang,year
  pqstore build vectors.fvecs new-index --M 16 --restart
  pqstore build vectors.npy new-index --M 16 --partitions 16
  pqstore build 'parts/*.npy' new-index --M 16
  pqstore build - new-index --M 16 --train sample.npy < vectors.npy
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

from pqstore.cli.inputs.columns import add_column_options, column_settings, wanted_columns
from pqstore.cli.inputs.ids import ID_TYPE_HELP, IDS_HELP
from pqstore.cli.inputs.metrics import METRIC_HELP, metric_of, note_metric
from pqstore.cli.inputs.partitions import PARTITIONS_HELP, as_partitions
from pqstore.cli.inputs.paths import path
from pqstore.cli.inputs.payloads import PAYLOADS_HELP
from pqstore.cli.inputs.vectors import VECTORS_HELP, Block, Vectors, count_of, open_for, open_vectors, sample
from pqstore.cli.report import Report

if TYPE_CHECKING:
    from pqstore import OPQ, PQ, Index
    from pqstore.cli.unfinished import UnfinishedBuild

__all__ = ["add_arguments", "run"]

# Bytes of vectors, and rows, that make a commit; a kill loses at most so many.
_COMMIT_BYTES = 64 << 20
_COMMIT_ROWS = 1 << 18


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("vectors", metavar="VECTORS", type=path, help=VECTORS_HELP)
    parser.add_argument("index", metavar="INDEX", type=path, help="the directory to make")
    parser.add_argument(
        "--M", type=int, help="sub-spaces: bytes a vector where Ks is 256 (default: a byte for about 8)"
    )
    parser.add_argument("--Ks", type=int, default=256, help="codewords a sub-space (default 256)")
    parser.add_argument("--opq", action="store_true", help="train a rotation too: slower to train, better recall")
    parser.add_argument("--metric", choices=("l2", "dot", "cosine"), help=METRIC_HELP)
    parser.add_argument("--train", metavar="FILE", type=path, help="vectors to train on (default: a sample of VECTORS)")
    parser.add_argument(
        "--ids", metavar="FILE", type=path, help=f"{IDS_HELP} (default: those in VECTORS, or 0, 1, 2, ...)"
    )
    parser.add_argument("--id-type", choices=("int64", "str"), help=ID_TYPE_HELP)
    add_column_options(parser)
    parser.add_argument(
        "--originals",
        choices=("float32", "float16", "int8"),
        help="keep the vectors themselves too, for search --rerank (default: codes only)",
    )
    parser.add_argument("--payloads", metavar="FILE", type=path, help=PAYLOADS_HELP)
    parser.add_argument("--fields", metavar="NAME,...", help="fields of payloads that get an index, for quick filters")
    parser.add_argument("--partitions", type=as_partitions, metavar="N", help=f"{PARTITIONS_HELP} (default none)")
    parser.add_argument("--iter", type=int, default=20, help="iterations of k-means (default 20)")
    parser.add_argument("--seed", type=int, default=123)
    parser.add_argument("--durability", choices=("full", "relaxed"), default="full", help="of the finished index")
    parser.add_argument("--commit-rows", type=int, metavar="N", help="rows a commit (default: about 64 MiB of vectors)")
    parser.add_argument("--restart", action="store_true", help="throw an unfinished build away, if there is one")
    parser.add_argument("--threads", type=int, help="default: all cores")


def run(options: argparse.Namespace, report: Report) -> int:
    from pqstore.cli.unfinished import UnfinishedBuild
    from pqstore.quantizer.choice import choose_quantizer

    if options.commit_rows is not None and options.commit_rows < 1:
        raise ValueError(f"--commit-rows must be at least 1, got {options.commit_rows}")
    vectors = open_vectors(
        options.vectors,
        report,
        wanted_columns(options),
        ids=options.ids,
        payloads=options.payloads,
        id_type=options.id_type,
    )
    if options.vectors == "-" and options.train is None:
        raise ValueError("standard input can be read once: give vectors to train on with --train FILE")
    options.metric = metric_of(vectors.corpus.statements, options.metric, report)
    if options.M is None:
        options.M = choose_quantizer(vectors.corpus.D, options.metric).M
        report.note(f"M = {options.M}, chosen for dimension {vectors.corpus.D}: --M says otherwise")
    with UnfinishedBuild(options.index, _record(options, vectors), options.restart) as build:
        index = _open_or_train(options, vectors, build, report)
        with index:
            started, before = time.perf_counter(), len(index)
            if before:
                report.note(f"going on after {before:,} of {vectors.n:,} rows")
            _fill(index, vectors, options, report)
            if options.partitions is not None:
                report.say(str(index.partition(options.partitions, threads=options.threads)))
            seconds, count = time.perf_counter() - started, len(index)
            stats = index.stats()
        build.finish()
    report.say(
        f"added {count:,} vectors in {seconds:.1f} s ({(count - before) / max(seconds, 1e-9):,.0f} rows/s)"
        + (f", {before:,} of them before" if before else "")
    )
    report.say(
        f"{build.target}: {stats.disk_bytes / 1e6:.1f} MB, {stats.disk_bytes / max(count, 1):.1f} B a vector "
        f"(float32 would take {4 * stats.D}); vectors of {vectors.corpus.dtype}"
    )
    return 0


def _record(options: argparse.Namespace, vectors: Vectors) -> dict[str, Any]:
    """What must be the same for a build to go on."""
    from pqstore.cli.unfinished import identity_of

    corpus = vectors.corpus
    settings = ("M", "Ks", "opq", "metric", "iter", "seed", "durability", "originals", "fields")
    record: dict[str, Any] = {
        "version": 1,
        "source": identity_of(options.vectors, vectors.n, corpus.D, str(corpus.dtype)),
        "settings": {name: getattr(options, name) for name in settings} | column_settings(options),
    }
    if options.id_type is not None:
        record["settings"]["id_type"] = options.id_type
    if options.ids is not None:
        record["ids"] = identity_of(options.ids, vectors.n, 0, "")
    if options.payloads is not None:
        record["payloads"] = identity_of(options.payloads, vectors.n, 0, "")
    if options.train is not None:
        record["training vectors"] = identity_of(options.train, 0, 0, "")
    return record


def _open_or_train(options: argparse.Namespace, vectors: Vectors, build: UnfinishedBuild, report: Report) -> Index:
    from pqstore import Index

    if build.is_trained:
        return Index.open(build.path)
    vectors.refuse_repeated_ids()
    started = time.perf_counter()
    quantizer = _train(options, vectors, report)
    report.say(f"trained {quantizer!r} in {time.perf_counter() - started:.1f} s")
    return Index.create(
        build.path,
        quantizer,
        id_type=vectors.id_type(),
        durability=options.durability,
        originals=options.originals,
        fields=options.fields.split(",") if options.fields else (),
    )


def _train(options: argparse.Namespace, vectors: Vectors, report: Report) -> PQ | OPQ:
    from pqstore import OPQ, PQ
    from pqstore.quantizer import ROWS_PER_CODEWORD

    kind = OPQ if options.opq else PQ
    quantizer = kind(M=options.M, Ks=options.Ks, metric=options.metric, verbose=False)
    corpus = vectors.corpus
    if options.train is not None:
        corpus = open_for(options.train, report)
        note_metric(corpus.statements, options.metric, "the vectors or --metric", report)
    training = sample(corpus, min(count_of(corpus), ROWS_PER_CODEWORD * options.Ks), options.seed)
    iterations: dict[str, Any] = {"pq_iter" if options.opq else "iter": options.iter}
    with report.training("training") as progress:
        quantizer.fit(training, seed=options.seed, threads=options.threads, progress=progress, **iterations)
    return quantizer


def _fill(index: Index, vectors: Vectors, options: argparse.Namespace, report: Report) -> None:
    """Add the rows that the index does not have yet, a commit at a time."""
    done = len(index)
    row_bytes = vectors.corpus.D * vectors.corpus.dtype.itemsize
    commit_rows = options.commit_rows or min(_COMMIT_ROWS, max(1, _COMMIT_BYTES // row_bytes))
    lines = vectors.payloads(skip=done)
    with report.counter("adding", vectors.n, done) as advance:
        for group in _commits(vectors.blocks(skip=done), commit_rows):
            blocks = (block for block, _ in group)
            ids = _joined([ids for _, ids in group])
            rows = sum(len(block) for block, _ in group)
            payloads = None if lines is None else list(islice(lines, rows))
            index.add(_counted(blocks, advance), ids=ids, threads=options.threads, payloads=payloads)
    if len(index) != vectors.n:
        raise ValueError(f"{vectors.corpus.name}: {vectors.n} rows expected, the index has {len(index)}")


def _commits(blocks: Iterator[Block], rows: int) -> Iterator[list[Block]]:
    """Groups of blocks of `rows` rows, the last perhaps smaller."""
    group: list[Block] = []
    room = rows
    for vectors, ids in blocks:
        start = 0
        while start < len(vectors):
            part = slice(start, start + room)
            group.append((vectors[part], None if ids is None else ids[part]))
            taken = len(group[-1][0])
            start, room = start + taken, room - taken
            if room == 0:
                yield group
                group, room = [], rows
    if group:
        yield group


def _joined(parts: list[Any]) -> Any:
    import numpy as np

    if parts[0] is None:
        return None
    return [name for part in parts for name in part] if isinstance(parts[0], list) else np.concatenate(parts)


def _counted(blocks: Iterator[Any], advance: Any) -> Iterator[Any]:
    for block in blocks:
        yield block
        advance(len(block))
