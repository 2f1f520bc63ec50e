"""Times of an index on this machine: medians of repeated searches and additions."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from pqstore import Index

__all__ = ["Timing", "like_stored", "time_additions", "time_searches"]

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


def time_searches(
    index: Index, queries: npt.NDArray[Any], k: int, counts: Sequence[int], seconds: float
) -> list[Timing]:
    """Searches one by one and in one batch, with each number of threads in `counts`."""
    timings = []
    for threads in counts:

        def single(turn: int, threads: int = threads) -> None:
            index.search(queries[turn % len(queries)], k=k, threads=threads)

        def batch(_: int, threads: int = threads) -> None:
            index.search(queries, k=k, threads=threads)

        timings.append(_timed(f"search, one by one, k {k}", threads, 1, single, seconds))
        what = f"search, batch of {len(queries):,}, k {k}"
        timings.append(_timed(what, threads, len(queries), batch, seconds))
    return timings


def time_additions(index: Index, counts: Sequence[int], seconds: float) -> list[Timing]:
    """Adding to a new index with the same quantizer, beside this one on the disk; it is thrown away."""
    from pqstore import Index

    vectors = like_stored(index, _BATCH_ROWS)
    timings = []
    beside = Path(index.path).parent
    with tempfile.TemporaryDirectory(prefix="pqstore-bench-", dir=beside) as directory:
        with Index.create(Path(directory) / "index", index.quantizer, metric=index.metric) as scratch:
            for threads in counts:

                def batch(_: int, threads: int = threads) -> None:
                    scratch.add(vectors, threads=threads)

                what = f"add, {len(vectors):,} a call, durable"
                timings.append(_timed(what, threads, len(vectors), batch, seconds))
            one_by_one = _timed("add, 1 a call, durable", 1, 1, lambda turn: _add_one(scratch, vectors, turn), seconds)
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


def like_stored(index: Index, count: int) -> npt.NDArray[np.float32]:
    """Vectors near those of the index: some of its first, reconstructed, with noise of a third of their spread."""
    import numpy as np

    rng = np.random.default_rng(0)
    with index.snapshot() as view:
        ids, codes = next(view.iter_codes(65_536))
    chosen = rng.integers(0, len(ids), count)
    vectors = index.quantizer.decode(codes[chosen])
    noise = rng.standard_normal(vectors.shape, dtype=np.float32) * (vectors.std(axis=0) / 3)
    return vectors + noise
