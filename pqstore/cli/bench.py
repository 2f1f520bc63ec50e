"""Time an index on this machine: searches one by one and in a batch, on one thread and on all, and adding.

Adding is timed in a new index with the same quantizer, in the same directory of the disk, which is thrown away. Without
--queries, queries are vectors of the index with noise; real queries tell more.

examples:
  pqstore bench my-index
  pqstore bench my-index --queries queries.npy -k 100 --seconds 0.2 --format json
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pqstore.cli.report import Report
from pqstore.cli.vectors import read_all

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from pqstore import Index

__all__ = ["add_arguments", "run"]

# Rows of an added batch.
_BATCH_ROWS = 10_000


@dataclass(frozen=True)
class Timing:
    """The median of some repetitions of one piece of work."""

    what: str
    threads: int
    repetitions: int
    milliseconds: float
    per_second: float
    """Queries or rows."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("index", metavar="INDEX")
    parser.add_argument("--queries", metavar="FILE", help="queries (default: vectors of the index, with noise)")
    parser.add_argument("-k", type=int, default=10, help="neighbours a query (default 10)")
    parser.add_argument("--seconds", type=float, default=0.5, help="to spend on each figure (default 0.5)")
    parser.add_argument("--format", choices=("table", "json"), default="table", help="json: one line a figure")


def run(options: argparse.Namespace, report: Report) -> int:
    from pqstore import Index, kernels

    if not 0 < options.seconds < float("inf"):
        raise ValueError(f"--seconds must be above 0, got {options.seconds}")
    with Index.open(options.index, readonly=True) as index:
        if len(index) == 0:
            raise ValueError(f"{options.index} is empty: there is nothing to time")
        queries = _like_stored(index, 200) if options.queries is None else read_all(options.queries)
        if len(queries) == 0:
            raise ValueError(f"{options.queries} holds no queries")
        report.note(f"{index!r}, kernel {kernels.active().name}")
        # One thread and all; each once where they are the same.
        counts = sorted({1, kernels.resolve_threads(None)})
        timings = [*_searches(index, queries, options, counts), *_additions(index, options, counts)]
    if options.format == "json":
        for timing in timings:
            report.json(asdict(timing))
        return 0
    report.table(
        ("what", "threads", "times", "median", "a second"),
        (
            (t.what, str(t.threads), str(t.repetitions), f"{t.milliseconds:,.3f} ms", f"{t.per_second:,.0f}")
            for t in timings
        ),
    )
    return 0


def _searches(index: Index, queries: Any, options: argparse.Namespace, counts: list[int]) -> list[Timing]:
    timings = []
    for threads in counts:

        def single(turn: int, threads: int = threads) -> None:
            index.search(queries[turn % len(queries)], k=options.k, threads=threads)

        def batch(_: int, threads: int = threads) -> None:
            index.search(queries, k=options.k, threads=threads)

        timings.append(_timed(f"search, one by one, k {options.k}", threads, 1, single, options.seconds))
        what = f"search, batch of {len(queries):,}, k {options.k}"
        timings.append(_timed(what, threads, len(queries), batch, options.seconds))
    return timings


def _additions(index: Index, options: argparse.Namespace, counts: list[int]) -> list[Timing]:
    from pqstore import Index

    vectors = _like_stored(index, _BATCH_ROWS)
    timings = []
    beside = Path(index.path).parent
    with tempfile.TemporaryDirectory(prefix="pqstore-bench-", dir=beside) as directory:
        with Index.create(Path(directory) / "index", index.quantizer, metric=index.metric) as scratch:  # type: ignore[arg-type]
            for threads in counts:

                def batch(_: int, threads: int = threads) -> None:
                    scratch.add(vectors, threads=threads)

                what = f"add, {len(vectors):,} a call, durable"
                timings.append(_timed(what, threads, len(vectors), batch, options.seconds))
            one_by_one = _timed(
                "add, 1 a call, durable", 1, 1, lambda turn: _add_one(scratch, vectors, turn), options.seconds
            )
        return [*timings, one_by_one]


def _add_one(index: Index, vectors: npt.NDArray[np.float32], turn: int) -> None:
    index.add(vectors[turn % len(vectors)], threads=1)


def _timed(what: str, threads: int, rows: int, work: Callable[[int], None], seconds: float) -> Timing:
    """Repeat `work` for about `seconds`, once to warm up and three times at least."""
    import numpy as np

    work(0)
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < 3 or time.perf_counter() < end:
        started = time.perf_counter()
        work(len(times))
        times.append(time.perf_counter() - started)
    median = float(np.median(times))
    return Timing(what, threads, len(times), median * 1e3, rows / median)


def _like_stored(index: Index, count: int) -> npt.NDArray[np.float32]:
    """Vectors near those of the index: some of its first, reconstructed, with noise of a third of their spread."""
    import numpy as np

    rng = np.random.default_rng(0)
    with index.snapshot() as view:
        ids, codes = next(view.iter_codes(65_536))
    chosen = rng.integers(0, len(ids), count)
    vectors = index.quantizer.decode(codes[chosen])
    noise = rng.standard_normal(vectors.shape, dtype=np.float32) * (vectors.std(axis=0) / 3)
    return vectors + noise
