"""Build and search a collection of many indexes, on one machine or on many.

Plan once, train once, then build each shard wherever its files can be read, by any batch queue: a build may be killed
and given again, also twice at once. Commit when all are built; then search as one index, with the same answers.

examples:
  pqstore shards plan vectors.npy new-plan.json --rows 500
  pqstore shards train my-plan.json new-collection --M 8 --Ks 32
  pqstore shards build begun-collection --shard 2
  pqstore shards build begun-collection
  pqstore shards commit built-collection
  pqstore shards search my-collection queries.npy -k 10
  pqstore shards search my-collection queries.npy --rerank 100 --format json
  pqstore shards info my-collection
  pqstore shards verify my-collection --deep
  pqstore shards fetch my-collection new-copy
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from pqstore.cli.inputs.metrics import METRIC_HELP
from pqstore.cli.inputs.partitions import as_nprobe
from pqstore.cli.inputs.paths import path
from pqstore.cli.inputs.payloads import WHERE_HELP, as_where
from pqstore.cli.inputs.vectors import VECTORS_HELP, count_of, open_for
from pqstore.cli.report import Report

if TYPE_CHECKING:
    from pqstore import SearchResult

__all__ = ["add_arguments", "run"]

_SHOWN = 10  # queries as a table; shards that are named
_BATCH_HITS = 1 << 22


def add_arguments(parser: argparse.ArgumentParser) -> None:
    steps = parser.add_subparsers(dest="step", metavar="STEP", required=True)
    for name, (summary, arguments, step) in _STEPS.items():
        one = steps.add_parser(name, help=summary, description=summary)
        arguments(one)
        one.set_defaults(step_of=step)


def run(options: argparse.Namespace, report: Report) -> int:
    step: Callable[[argparse.Namespace, Report], int] = options.step_of
    return step(options, report)


def _plan_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("vectors", metavar="VECTORS", type=path, nargs="+", help=VECTORS_HELP)
    parser.add_argument("plan", metavar="PLAN", type=path, help="the file to write")
    parser.add_argument(
        "--rows", type=int, default=1_000_000, metavar="N", help="rows a shard, at most (default 1000000)"
    )
    parser.add_argument("--id-column", metavar="NAME", help="column of ids, or none (default: id, ids, _id or key)")
    parser.add_argument("--payload-columns", metavar="NAME,...", help="columns that become payloads")
    parser.add_argument("--skip-nulls", action="store_true", help="leave out rows without a vector")
    parser.add_argument("--trust-ids", action="store_true", help="do not look for ids that are given twice")


def _plan(options: argparse.Namespace, report: Report) -> int:
    from pqstore.shards import plan

    made = plan(
        options.vectors,
        options.rows,
        id_column=options.id_column,
        payload_columns=options.payload_columns.split(",") if options.payload_columns else (),
        skip_nulls=options.skip_nulls,
        check_ids=not options.trust_ids,
    )
    for remark in made.remarks:
        report.note(remark)
    made.save(options.plan)
    rows = [shard.rows for shard in made.shards]
    report.say(
        f"{made.rows:,} rows of {len(made.files):,} files in {len(rows):,} shards of {min(rows):,} to {max(rows):,}; "
        f"ids {'of column ' + made.id_column if made.id_column else 'are numbers of rows'}; plan {made.hash}"
    )
    return 0


def _train_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("plan", metavar="PLAN", type=path)
    parser.add_argument("collection", metavar="COLLECTION", type=path, help="the directory to make")
    parser.add_argument("--root", type=path, help="where the files of the plan lie on this machine")
    parser.add_argument("--quantizer", metavar="FILE", type=path, help="take this trained quantizer (.npz)")
    parser.add_argument("--M", type=int, help="sub-spaces: bytes a vector where Ks is 256")
    parser.add_argument("--Ks", type=int, default=256, help="codewords a sub-space (default 256)")
    parser.add_argument("--opq", action="store_true", help="train a rotation too")
    parser.add_argument("--metric", choices=("l2", "dot", "cosine"), help=METRIC_HELP)
    parser.add_argument("--originals", choices=("float32", "float16", "int8"), help="keep the vectors themselves too")
    parser.add_argument("--fields", metavar="NAME,...", help="fields of payloads that get an index")
    parser.add_argument("--partitions", type=int, metavar="N", help="inverted lists of each shard (default none)")
    parser.add_argument("--sample", type=int, metavar="ROWS", help="rows to train on (default: 256 a codeword)")
    parser.add_argument("--seed", type=int, default=123)
    parser.add_argument("--threads", type=int, help="default: all cores")


def _train(options: argparse.Namespace, report: Report) -> int:
    from pqstore.quantizer import OPQ, PQ, Quantizer
    from pqstore.quantizer.choice import choose_quantizer
    from pqstore.shards import Plan, train

    plan = Plan.load(options.plan, options.root)
    metric: Any = options.metric or plan.metric or "l2"
    quantizer: Any
    if options.quantizer is not None:
        quantizer = Quantizer.load(options.quantizer).with_metric(metric)
    else:
        M = options.M or choose_quantizer(plan.D, metric).M
        quantizer = (OPQ if options.opq else PQ)(M=M, Ks=options.Ks, metric=metric, verbose=False)
    started = time.perf_counter()
    with report.training("training") as progress:
        recipe = train(
            plan,
            quantizer,
            options.collection,
            originals=options.originals,
            fields=options.fields.split(",") if options.fields else (),
            partitions=options.partitions,
            sample_rows=options.sample,
            seed=options.seed,
            threads=options.threads,
            progress=progress,
        )
    seconds = time.perf_counter() - started
    report.say(
        f"quantizer {recipe.quantizer}, trained on {recipe.trained_on:,} rows in {seconds:.1f} s; "
        f"{len(plan.shards):,} shards are to be built in {options.collection}"
    )
    return 0


def _build_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("collection", metavar="COLLECTION", type=path)
    parser.add_argument("--shard", type=int, action="append", metavar="N", help="only this one (default: all missing)")
    parser.add_argument("--root", type=path, help="where the files of the plan lie on this machine")
    parser.add_argument("--scratch", metavar="DIR", type=path, help="a directory on a local disk (default: TMPDIR)")
    parser.add_argument("--threads", type=int, help="default: all cores")


def _build(options: argparse.Namespace, report: Report) -> int:
    from pqstore.shards import build_shard, missing_shards

    plan = _plan_of(options)
    numbers = missing_shards(plan, options.collection) if options.shard is None else options.shard
    if not numbers:
        report.say("all shards are built")
    for number in numbers:
        started = time.perf_counter()
        manifest = build_shard(plan, number, options.collection, scratch=options.scratch, threads=options.threads)
        report.say(
            f"shard {number}: {manifest.rows:,} rows, {manifest.bytes / 1e6:.1f} MB, "
            f"{time.perf_counter() - started:.1f} s"
        )
    return 0


def _commit_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("collection", metavar="COLLECTION", type=path)


def _commit(options: argparse.Namespace, report: Report) -> int:
    from pqstore.shards import commit

    manifest = commit(_plan_of(options), options.collection)
    report.say(f"{options.collection}: {manifest.rows:,} rows in {len(manifest.shards):,} shards, committed")
    return 0


def _search_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("collection", metavar="COLLECTION", type=path)
    parser.add_argument("queries", metavar="QUERIES", type=path, help=VECTORS_HELP)
    parser.add_argument("-k", type=int, default=10, help="how many to find (default 10)")
    parser.add_argument("--rerank", type=int, metavar="R", help="score the best R of all shards by their originals")
    parser.add_argument("--nprobe", type=as_nprobe, metavar="N", help="lists that each shard reads; all: exact")
    parser.add_argument("--where", metavar="JSON", help=WHERE_HELP)
    parser.add_argument("--payloads", action="store_true", help="show the payload of each hit")
    parser.add_argument("--format", choices=("table", "json"), default="table", help="json: one line a query")
    parser.add_argument("--out", metavar="FILE", type=path, help="write .npz (ids, distances), .npy or .jsonl instead")
    parser.add_argument("--threads", type=int, help="default: all cores")


def _search(options: argparse.Namespace, report: Report) -> int:
    from pqstore.cli.results import check_result_name, hits_of, write_results
    from pqstore.interop.corpus import QUERIES
    from pqstore.shards import Collection

    if options.out is not None:
        check_result_name(options.out, options.payloads)
    corpus = open_for(options.queries, report, QUERIES)
    with Collection.open(options.collection, readonly=True) as collection:
        answers = _answers(collection, corpus, options, None if options.format == "json" or options.out else _SHOWN)
        if options.out is not None:
            write_results(options.out, answers)
            report.note(f"wrote {count_of(corpus):,} x {options.k} results to {options.out}")
        elif options.format == "json":
            for hits in hits_of(answers):
                report.json(hits)
        else:
            report.table(("query", "rank", "id", "distance"), list(_lines(answers)))
    return 0


def _answers(collection: Any, corpus: Any, options: argparse.Namespace, most: int | None) -> Iterator[SearchResult]:
    """Of all queries, in batches, or of the first."""
    where, include = as_where(options.where), ("payload",) if options.payloads else ()
    rows = most or max(1, min(1024, _BATCH_HITS // max(options.k, 1)))
    for block in corpus.blocks(rows):
        yield collection.search(
            block,
            options.k,
            options.threads,
            rerank=options.rerank,
            nprobe=options.nprobe,
            where=where,
            include=include,
        )
        if most is not None:
            return


def _lines(answers: Iterator[SearchResult]) -> Iterator[list[str]]:
    from pqstore.cli.results import hits_of

    for hits in hits_of(answers):
        for rank, (id_, distance) in enumerate(zip(hits["ids"], hits["distances"], strict=True), 1):
            yield [str(hits["query"]), str(rank), str(id_), f"{distance:.6g}"]


def _info_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("collection", metavar="COLLECTION", type=path)
    parser.add_argument("--format", choices=("text", "json"), default="text")


def _info(options: argparse.Namespace, report: Report) -> int:
    import dataclasses

    from pqstore.errors import MissingShardError
    from pqstore.shards import Collection, missing_shards

    try:
        with Collection.open(options.collection, readonly=True) as collection:
            manifest, stats = collection.manifest, collection.stats()
    except MissingShardError:
        plan = _plan_of(options)
        missing = missing_shards(plan, options.collection)
        facts: dict[str, Any] = {"committed": False, "shards": len(plan.shards), "rows": plan.rows, "missing": missing}
    else:
        facts = {**dataclasses.asdict(manifest), "committed": True, "shards": len(manifest.shards)}
        facts |= {"vectors": sum(each.vectors for each in stats.values())}
        facts |= {"bytes": sum(each.disk_bytes for each in stats.values())}
        facts["of shards"] = {str(number): each.vectors for number, each in stats.items()}
    if options.format == "json":
        report.json(facts)
    else:
        report.rows((name, _text(value)) for name, value in facts.items())
    return 0


def _verify_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("collection", metavar="COLLECTION", type=path)
    parser.add_argument("--deep", action="store_true", help="look up every id, walk all pages, compare shards")


def _verify(options: argparse.Namespace, report: Report) -> int:
    from pqstore.shards import Collection

    with Collection.open(options.collection, readonly=True) as collection:
        problems = collection.verify(options.deep)
        for number, of_shard in problems.items():
            for problem in of_shard:
                report.say(f"shard {number}: {problem}")
        if not problems:
            report.say(f"sound: {len(collection):,} vectors in {len(collection.manifest.shards):,} shards")
    return 1 if problems else 0


def _fetch_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("collection", metavar="COLLECTION", type=path)
    parser.add_argument("copy", metavar="COPY", type=path, help="the directory to make, on a local disk")


def _fetch(options: argparse.Namespace, report: Report) -> int:
    from pqstore.shards import fetch

    manifest = fetch(options.collection, options.copy)
    report.say(f"{options.copy}: {len(manifest.shards):,} shards")
    return 0


def _plan_of(options: argparse.Namespace) -> Any:
    """The plan that lies in the directory of a collection."""
    from pqstore.errors import MissingShardError
    from pqstore.shards import Plan
    from pqstore.shards.place import Place

    place = Place(options.collection)
    try:
        return Plan.load(place.plan, getattr(options, "root", None))
    except FileNotFoundError as error:
        raise MissingShardError(
            f"{place.directory} is no collection: begin with pqstore shards plan and train"
        ) from error


def _text(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, (dict, list, tuple)):
        members = [f"{name} {_text(inner)}" for name, inner in value.items()] if isinstance(value, dict) else value
        shown = list(map(str, members))
        return ", ".join(shown[:_SHOWN] + ["..."] * (len(shown) > _SHOWN)) or "none"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


_STEPS: dict[str, tuple[str, Callable[..., None], Callable[..., int]]] = {
    "plan": ("Divide the rows of files into shards.", _plan_arguments, _plan),
    "train": ("Train the one quantizer of all shards, and begin the collection.", _train_arguments, _train),
    "build": ("Build the shards that are missing, or one.", _build_arguments, _build),
    "commit": ("Let readers see the collection, once all shards are built.", _commit_arguments, _commit),
    "search": ("Search all shards as one index.", _search_arguments, _search),
    "info": ("Show what a collection holds, or which shards are missing.", _info_arguments, _info),
    "verify": ("Check all shards; exit status 1 when something is wrong.", _verify_arguments, _verify),
    "fetch": ("Copy a collection to a local disk.", _fetch_arguments, _fetch),
}
