"""Measure recall against exact search, of an index and of other sizes and kinds of codes.

Rows of VECTORS are drawn and searched exactly; recall@k is the share of the true k nearest among the first k found
by codes. With INDEX, its quantizer is measured (VECTORS should be the corpus that the index was built from); with --M,
--Ks or --kinds, or without INDEX, quantizers are trained and compared. --target recommends the smallest that is good
enough. Recall in a sample is higher than in a larger corpus: compare sizes by it, and see --sample. Without --queries,
rows held out of the sample are the queries.

With --scan the lists of INDEX are measured instead, with all its vectors: recall and time over the rows of lists that
are read, with each --rerank, against exact search over its originals, or a scan of all codes where it stores none.
VECTORS are the queries then.

examples:
  pqstore recall my-index vectors.npy --queries queries.npy
  pqstore recall vectors.npy --M 8,16 --kinds pq --target 0.6 --plot recall.png
  pqstore recall my-index vectors.npy --rerank 50,100
  pqstore recall my-index queries.npy --scan auto --rerank 100,200 --plot lists.png
  pqstore recall my-index vectors.npy --M 8,16 --Ks 16,64 --kinds pq --sample 20000 --format json
"""

from __future__ import annotations

import argparse
import math
from typing import TYPE_CHECKING, Any

from pqstore.cli.inputs.paths import path
from pqstore.cli.inputs.vectors import VECTORS_HELP
from pqstore.cli.report import Report

if TYPE_CHECKING:
    from pqstore.interop.corpus import Corpus

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("index", metavar="INDEX", type=path, nargs="?", help="leave it out to compare quantizers alone")
    parser.add_argument("vectors", metavar="VECTORS", type=path, help=VECTORS_HELP)
    parser.add_argument("--queries", metavar="FILE", type=path, help="queries (default: 200 rows of VECTORS, held out)")
    parser.add_argument("-k", type=int, default=10, help="neighbours that --target and --plot are about (default 10)")
    parser.add_argument("--sample", type=int, default=50_000, metavar="ROWS", help="rows searched (default 50000)")
    parser.add_argument(
        "--M", type=_numbers, metavar="M,...", help="numbers of sub-spaces to try (default: up to five)"
    )
    parser.add_argument("--Ks", type=_numbers, metavar="KS,...", help="numbers of codewords to try (default 256)")
    parser.add_argument("--kinds", type=_kinds, metavar="pq,opq", help="kinds to try (default both)")
    parser.add_argument("--rerank", type=_numbers, metavar="R,...", help="also re-rank so many by float16 originals")
    parser.add_argument(
        "--scan",
        type=_rows,
        metavar="ROWS,...",
        help="measure searches that read lists of INDEX until they have so many rows; auto: some",
    )
    parser.add_argument(
        "--metric", choices=("l2", "dot", "cosine"), help="default: that of INDEX, or what VECTORS say, or l2"
    )
    parser.add_argument("--target", type=float, metavar="RECALL", help="recommend the smallest that reaches this")
    parser.add_argument(
        "--plot",
        metavar="FILE",
        type=path,
        help="write recall over bytes a vector, with --scan over time, as .png, .svg or .pdf",
    )
    parser.add_argument("--iter", type=int, default=10, help="iterations of k-means (default 10)")
    parser.add_argument("--seed", type=int, default=123)
    parser.add_argument("--format", choices=("table", "json"), default="table", help="json: one line a quantizer")
    parser.add_argument("--threads", type=int, help="default: all cores")


def run(options: argparse.Namespace, report: Report) -> int:
    from pqstore.cli.inputs.vectors import open_for, read_all
    from pqstore.cli.measuring.recall_plot import check_plot, plot_trials
    from pqstore.cli.measuring.trials import draw, measure, train
    from pqstore.interop.corpus import QUERIES
    from pqstore.quantizer import ROWS_PER_CODEWORD

    _check(options)
    if options.plot is not None:
        check_plot(options.plot)
    if options.scan is not None:
        return _sweep(options, report)
    corpus = open_for(options.vectors, report)
    own, metric = _subject(options, corpus, report)
    grid = _grid(options, corpus.D)
    ks = sorted({1, 10, 100, options.k})
    sample = draw(
        corpus,
        metric,
        rows=options.sample,
        queries=200 if options.queries is None else read_all(open_for(options.queries, report, QUERIES)),
        training=ROWS_PER_CODEWORD * max((Ks for _, _, Ks in grid), default=0),
        depth=ks[-1],
        seed=options.seed,
    )
    if options.k > sample.truth.shape[1]:
        raise ValueError(f"-k {options.k}: the sample has {len(sample.base)} rows")
    about = f"{len(sample.queries):,} queries, {len(sample.base):,} of {corpus.n:,} rows, {metric}"
    report.note(f"exact search done: {about}")
    reranks = options.rerank or []
    trials = [] if own is None else measure(f"{options.index} (index)", own, sample, ks, reranks)
    settings: dict[str, Any] = {"iterations": options.iter, "seed": options.seed, "threads": options.threads}
    for kind, M, Ks in grid:
        name = f"{kind.upper()} M {M} Ks {Ks}"
        with report.training(name) as progress:
            quantizer, seconds = train(kind, M, Ks, sample, progress=progress, **settings)
        trials += measure(name, quantizer, sample, ks, reranks, seconds)
    _show(trials, ks, options, report)
    if options.plot is not None:
        plot_trials(options.plot, trials, options.k, options.target, about)
        report.note(f"wrote {options.plot}")
    return 0


def _subject(options: argparse.Namespace, corpus: Corpus, report: Report) -> tuple[Any, Any]:
    """The quantizer of the index, where one is named, and the metric by which to search."""
    from pqstore import Index, NotTrainedError
    from pqstore.cli.inputs.metrics import metric_of, note_metric

    if options.index is None:
        return None, metric_of(corpus.statements, options.metric, report)
    with Index.open(options.index, readonly=True) as index:
        quantizer, metric = index.quantizer, options.metric or index.metric
    if not quantizer.is_trained:
        raise NotTrainedError(f"the index at {options.index} has no codes before it is trained: call pqstore train")
    note_metric(corpus.statements, metric, "--metric" if options.metric else "the index", report)
    return quantizer, metric


def _sweep(options: argparse.Namespace, report: Report) -> int:
    """Recall and time over the rows of lists that are read."""
    from pqstore import Index
    from pqstore.cli.inputs.metrics import note_metric
    from pqstore.cli.inputs.vectors import open_for, read_all
    from pqstore.cli.measuring.recall_plot import plot_scans
    from pqstore.interop.corpus import QUERIES

    with Index.open(options.index, readonly=True) as index:
        corpus = open_for(options.queries or options.vectors, report, QUERIES)
        note_metric(corpus.statements, index.metric, "the index", report)
        found = index.recall_report(
            read_all(corpus), options.rerank or (), options.threads, scan=options.scan, quiet=True
        )
    k = max(cut for cut in found.rows[0].recall if cut <= max(options.k, 1))
    if options.format == "json":
        for row in found.rows:
            recall = {cut: None if math.isnan(share) else share for cut, share in row.recall.items()}
            report.json({"scan": row.scan, "rerank": row.rerank, "recall": recall, "milliseconds": row.milliseconds})
    else:
        for line in str(found).splitlines():
            report.say(line)
    if options.target is not None and options.format != "json":
        enough = [row for row in found.rows if row.recall[k] >= options.target]
        quickest = min(enough, key=lambda row: row.milliseconds, default=None)
        if quickest is None:
            report.say(f"none reaches recall@{k} of {options.target:g}: read more rows, or re-rank more candidates")
        else:
            rows = "all codes" if quickest.scan is None else f"--scan {quickest.scan}"
            rerank = "" if quickest.rerank is None else f" --rerank {quickest.rerank}"
            report.say(f"quickest with recall@{k} of {options.target:g}: {rows}{rerank}")
    if options.plot is not None:
        plot_scans(options.plot, found, k, options.target)
        report.note(f"wrote {options.plot}")
    return 0


def _check(options: argparse.Namespace) -> None:
    if options.scan is not None:
        if options.index is None:
            raise ValueError("--scan measures the lists of an index: name it before the queries")
        if options.M or options.Ks or options.kinds:
            raise ValueError("--scan measures the index as it is: leave out --M, --Ks and --kinds")
    for name, least in (("k", 1), ("sample", 2), ("iter", 1)):
        if getattr(options, name) < least:
            raise ValueError(f"{name} must be at least {least}, got {getattr(options, name)}")
    if options.rerank and min(options.rerank) < options.k:
        raise ValueError(f"--rerank must be at least k = {options.k}, got {min(options.rerank)}")
    if options.target is not None and not 0 < options.target <= 1:
        raise ValueError(f"--target must be above 0 and at most 1, got {options.target}")
    if options.vectors == "-":
        raise ValueError("recall reads rows at random: save standard input to a file first")


def _grid(options: argparse.Namespace, D: int) -> list[tuple[str, int, int]]:
    """(kind, M, Ks) of the quantizers to train."""
    from pqstore.cli.measuring.trials import default_sizes

    if options.index is not None and not (options.M or options.Ks or options.kinds):
        return []
    sizes = options.M or default_sizes(D)
    for M in sizes:
        if D % M:
            raise ValueError(f"M = {M} must divide the dimension of the vectors, {D}")
    return [(kind, M, Ks) for kind in options.kinds or ["pq", "opq"] for Ks in options.Ks or [256] for M in sizes]


def _show(trials: list[Any], ks: list[int], options: argparse.Namespace, report: Report) -> None:
    from dataclasses import asdict

    from pqstore.cli.measuring.trials import recommend

    chosen = None if options.target is None else recommend(trials, options.k, options.target)
    if options.format == "json":
        for trial in trials:
            report.json({**asdict(trial), "recommended": trial is chosen})
    else:
        shown = [k for k in ks if k in trials[0].recall]
        columns = ("quantizer", "bytes", *(f"recall@{k}" for k in shown), "training s")
        report.table(columns, (_line(trial, shown) for trial in trials))
    if options.target is None or options.format == "json":
        return
    if chosen is not None:
        report.say(
            f"recommended for recall@{options.k} of {options.target:g}: {chosen.name}, {chosen.bytes} bytes a vector, "
            f"recall {chosen.recall[options.k]:.3f} in this sample"
        )
        return
    best = max(trials, key=lambda trial: trial.recall[options.k])
    report.say(
        f"none reaches recall@{options.k} of {options.target:g}: the best is {best.name} with "
        f"{best.recall[options.k]:.3f}; try a larger M"
    )


def _line(trial: Any, ks: list[int]) -> list[str]:
    seconds = "-" if trial.training_seconds is None else f"{trial.training_seconds:.1f}"
    return [
        trial.name,
        str(trial.bytes),
        *(f"{trial.recall[k]:.3f}" if k in trial.recall else "-" for k in ks),
        seconds,
    ]


def _numbers(text: str) -> list[int]:
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"whole numbers with commas between expected, got {text!r}") from None
    if min(numbers) < 1:
        raise argparse.ArgumentTypeError(f"numbers of at least 1 expected, got {text!r}")
    return numbers


def _rows(text: str) -> list[int] | str:
    return text if text == "auto" else _numbers(text)


def _kinds(text: str) -> list[str]:
    kinds = text.lower().split(",")
    if not set(kinds) <= {"pq", "opq"}:
        raise argparse.ArgumentTypeError(f"pq, opq or pq,opq expected, got {text!r}")
    return kinds
