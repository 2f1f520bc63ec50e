"""How well a quantizer finds: a sample of a corpus, its exact nearest neighbours, and what codes find of them."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pqstore.errors import DimensionError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from pqstore.interop.corpus import Corpus
    from pqstore.quantizer import Progress

__all__ = ["Sample", "Trial", "default_sizes", "draw", "measure", "recommend", "train"]

# Distances computed at a time by the exact search.
_BLOCK_ENTRIES = 1 << 22


@dataclass(frozen=True)
class Sample:
    """Rows of a corpus, taken apart: queries are not among the base, nor, where there are enough rows, is training."""

    base: npt.NDArray[Any]
    queries: npt.NDArray[Any]
    training: npt.NDArray[Any]
    truth: npt.NDArray[np.int64]
    """(queries, depth): rows of `base`, nearest first."""
    metric: Any


@dataclass(frozen=True)
class Trial:
    """One quantizer, measured on one sample."""

    name: str
    kind: str
    M: int
    Ks: int
    bytes: int
    """Bytes a vector: of its code, and of its original where that is stored."""
    recall: dict[int, float]
    """k -> mean share of the true k nearest among the first k found."""
    training_seconds: float | None
    """None: it came trained."""
    rerank: int | None = None
    """Candidates a query that were scored by their originals."""


def draw(
    corpus: Corpus, metric: Any, *, rows: int, queries: npt.NDArray[Any] | int, training: int, depth: int, seed: int
) -> Sample:
    """A sample with `rows` base rows (fewer in a small corpus), searched exactly.

    `queries` are given, or so many rows are drawn and held out.

    Raises:
        DimensionError: the corpus has too few rows, or another dimension than the queries.
    """
    import numpy as np

    from pqstore.cli.inputs.vectors import sample

    held_out = queries if isinstance(queries, int) else 0
    drawn = sample(corpus, rows + held_out + training, seed)
    drawn = drawn[np.random.default_rng(seed).permutation(len(drawn))]
    asked = drawn[:held_out] if isinstance(queries, int) else queries
    base = drawn[held_out : held_out + rows]
    rest = drawn[held_out + rows :]
    if len(base) < 2 or len(asked) < 1:
        raise DimensionError(f"{corpus.name}: {held_out + 2} rows or more expected, got {len(drawn)}")
    if asked.ndim != 2 or asked.shape[1] != corpus.D:
        raise DimensionError(f"queries of {corpus.D} values expected, as in {corpus.name}, got {asked.shape}")
    # A corpus hardly larger than the sample has no rows to spare: train on what is searched.
    learned = rest if len(rest) >= training else base
    truth = nearest(base, asked, min(depth, len(base)), metric)
    return Sample(base, asked, learned, truth, metric)


def nearest(base: npt.NDArray[Any], queries: npt.NDArray[Any], k: int, metric: Any) -> npt.NDArray[np.int64]:
    """Exact search: rows (n, k) of `base`, nearest first; equal distances in the order of rows."""
    import numpy as np

    from pqstore.kernels import OriginalFormat, nearest_in_blocks, resolve_threads

    step = max(1, _BLOCK_ENTRIES // base.shape[1])
    floats = OriginalFormat("float32", base.shape[1])
    blocks = (
        (np.arange(start, min(start + step, len(base))), floats.encode(base[start : start + step]))
        for start in range(0, len(base), step)
    )
    return nearest_in_blocks(floats.kind, metric, blocks, queries, k, resolve_threads(None))[1]


def train(
    kind: str, M: int, Ks: int, sample: Sample, *, iterations: int, seed: int, threads: int | None, progress: Progress
) -> tuple[Any, float]:
    """A quantizer trained on the sample, and the seconds it took."""
    from pqstore import OPQ, PQ

    started = time.perf_counter()
    made = (OPQ if kind == "opq" else PQ)(M=M, Ks=Ks, metric=sample.metric, verbose=False)
    named: dict[str, Any] = {"pq_iter" if kind == "opq" else "iter": iterations}
    made.fit(sample.training, seed=seed, threads=threads, progress=progress, **named)
    return made, time.perf_counter() - started


def measure(
    name: str,
    quantizer: Any,
    sample: Sample,
    ks: Sequence[int],
    reranks: Sequence[int] = (),
    seconds: float | None = None,
) -> list[Trial]:
    """Search the sample's codes in an index of their own, which is thrown away; then again with each re-ranking."""
    from pqstore import Index
    from pqstore.index.recall.share import recall_at

    depth = sample.truth.shape[1]
    originals: Any = "float16" if reranks else None
    kind, M, Ks = quantizer.kind, quantizer.M, quantizer.Ks
    trials = []
    with tempfile.TemporaryDirectory(prefix="pqstore-recall-") as directory:
        path = Path(directory) / "index"
        with Index.create(path, quantizer, metric=sample.metric, bulk=True, originals=originals) as index:
            index.add(sample.base)
            code_bytes = index.stats().code_bytes
            for candidates in (None, *reranks):
                # A search cannot give more than it has candidates.
                most = depth if candidates is None else min(depth, candidates)
                ids = index.search(sample.queries, k=most, rerank=candidates).ids
                recall = {k: recall_at(k, ids, sample.truth) for k in ks if k <= most}
                full = name if candidates is None else f"{name} rerank {candidates}"
                size = code_bytes if candidates is None else code_bytes + 2 * sample.base.shape[1]
                trials.append(Trial(full, kind, M, Ks, size, recall, seconds, candidates))
    return trials


def default_sizes(D: int) -> list[int]:
    """Numbers of sub-spaces worth trying: up to five divisors of D, from a 32nd to a half of it, about doubling."""
    divisors = [M for M in range(1, D // 2 + 1) if D % M == 0 and M >= D / 32]
    chosen: list[int] = []
    for M in divisors or [D]:
        if not chosen or 2 * chosen[-1] <= M:
            chosen.append(M)
    return chosen[:5]


def recommend(trials: Sequence[Trial], k: int, target: float) -> Trial | None:
    """The smallest that reaches `target` recall@k, of equal size the best; None when none does."""
    enough = [trial for trial in trials if trial.recall[k] >= target]
    return min(enough, key=lambda trial: (trial.bytes, -trial.recall[k]), default=None)
