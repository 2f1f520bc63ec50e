"""From exact to codes, and from codes to others: a quantizer trained on rows of the index encodes all of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pqstore.arrays import F32, I64, U8
from pqstore.errors import PQStoreError, TrainingError
from pqstore.index.arguments.counts import as_count
from pqstore.index.code_space import CodeSpace, Training
from pqstore.index.exact_space import ExactSpace
from pqstore.index.reading import Reading
from pqstore.index.selection.searchable import count_searchable, spread_searchable
from pqstore.index.settings import features_of, record_of
from pqstore.kernels import OriginalKind, resolve_threads
from pqstore.log import info
from pqstore.progress import Progress, ProgressStep
from pqstore.quantizer import OPQ, PQ, Quantizer
from pqstore.quantizer.progress import TrainingStep
from pqstore.storage import Rebuild, Snapshot, Store

__all__ = ["SAMPLE_ROWS", "is_due", "mean_error", "retrain", "train"]

SAMPLE_ROWS = 20_000
"""Vectors that a quantizer is trained on, unless the caller says otherwise."""
RERANK = 100
"""Candidates that searches re-rank by default in an index that has trained itself and keeps its vectors."""
_ERROR_ROWS = 1000
_BLOCK_ROWS = 4096
_CALIBRATION = "calibration"

ReadingOf = Callable[[Snapshot], Reading]


def train(
    store: Store,
    reading_of: ReadingOf,
    quantizer: Quantizer | None,
    sample: Any,
    threads: int | None,
    timeout: float | None,
    progress: Progress,
) -> bool:
    """See `pqstore.Index.train`; False when another process has trained it already."""
    with store.read() as snapshot:
        snapshot.attachments.pin_originals()
        reading = reading_of(snapshot)
        space = reading.space
        if not isinstance(space, ExactSpace):
            return False
        wanted = space.wish.quantizer if quantizer is None else _fitting(quantizer, space.D)
        trained = _trained(reading, wanted, sample, threads, progress)

    try:
        store.rebuild(
            lambda begun: _plan(reading_of, begun, trained, space.wish.originals, threads), timeout, progress=progress
        )
    except PQStoreError:
        with store.read() as snapshot:  # another process may have been quicker
            if not isinstance(reading_of(snapshot).space, ExactSpace):
                return False
        raise
    info("index at %s: trained %r on vectors of its own; searches go by codes now", store.path, trained)
    return True


def retrain(
    store: Store,
    reading_of: ReadingOf,
    quantizer: Quantizer | None,
    sample: Any,
    threads: int | None,
    timeout: float | None,
    progress: Progress,
) -> None:
    """See `pqstore.Index.retrain`."""
    with store.read() as snapshot:
        snapshot.attachments.pin_originals()
        reading = reading_of(snapshot)
        space = reading.space
        if isinstance(space, ExactSpace):
            raise TrainingError(f"the index at {store.path} is not trained yet: call train()")
        if space.originals is None:
            raise TrainingError(
                f"the index at {store.path} keeps no vectors to train on: make a new index with originals='float16' "
                "and add the vectors to it"
            )
        wanted = _like(space.quantizer) if quantizer is None else _fitting(quantizer, space.D)
        trained = _trained(reading, wanted, sample, threads, progress)
        kind = space.originals.kind
    store.rebuild(lambda begun: _plan(reading_of, begun, trained, kind, threads), timeout, progress=progress)
    info("index at %s: trained anew, %r", store.path, trained)


def is_due(store: Store, space: ExactSpace) -> bool:
    """Whether the index has come to the size at which it trains itself."""
    if space.wish.train == "manual":
        return False
    with store.read() as snapshot:
        if snapshot.live_rows < space.wish.train_at:
            return False
        return count_searchable(Reading(snapshot, space, store.identity.id_type)) >= space.wish.train_at


def _fitting(quantizer: Any, D: int) -> Quantizer:
    """A quantizer that can be trained on vectors of this dimension.

    Raises:
        TypeError, TrainingError: it is none.
    """
    if not isinstance(quantizer, Quantizer):
        raise TypeError(f"quantizer must be a pqstore.PQ or pqstore.OPQ, got {type(quantizer).__name__}")
    if D % quantizer.M:
        raise TrainingError(f"M = {quantizer.M} does not divide the dimension {D} of the vectors of this index")
    return quantizer


def _like(quantizer: Quantizer) -> Quantizer:
    """One of the same kind and sizes, not trained."""
    settings, _ = quantizer.state()
    return Quantizer.from_state({**settings, "D": None}, {})


def _trained(reading: Reading, wanted: Quantizer, sample: Any, threads: int | None, progress: Progress) -> Quantizer:
    """A trained copy of `wanted`: as it is where it is trained, else fitted to a sample of the rows.

    Raises:
        TrainingError: there are too few rows.
    """
    made = Quantizer.from_state(*wanted.state()).with_metric(reading.space.metric)
    if made.is_trained:
        return made
    made.verbose = False
    most = SAMPLE_ROWS if sample is None else as_count(sample, "sample")
    rows = spread_searchable(reading, max(most, made.Ks))
    if len(rows) < made.Ks:
        raise TrainingError(
            f"the index at {reading.snapshot.records.generation.index} has {len(rows)} vectors, and {made.Ks} "
            f"codewords need as many at least: add more, or train a quantizer with fewer codewords"
        )
    vectors = reading.vectors_of(rows)

    def told(step: TrainingStep) -> None:
        progress(ProgressStep(step.stage, step.done, step.total))

    if isinstance(made, OPQ):  # from the principal axes one round is nearly as good as ten
        return made.fit(vectors, parametric_init=True, rotation_iter=2, threads=threads, progress=told)
    assert isinstance(made, PQ)
    return made.fit(vectors, threads=threads, progress=told)


def _plan(
    reading_of: ReadingOf, begun: Snapshot, trained: Quantizer, kind: OriginalKind | None, threads: int | None
) -> Rebuild:
    """All rows in the codes of a trained quantizer, with the vectors kept as `kind`."""
    reading = reading_of(begun)
    workers, old = resolve_threads(threads), reading.space
    some = reading.vectors_of(spread_searchable(reading, _ERROR_ROWS))
    kind = _wide_enough(reading, kind)
    space = CodeSpace(trained, old.metric, originals=kind)
    began_exact = isinstance(old, ExactSpace) or (old.training is not None and old.training.rerank > 0)
    rerank = RERANK if began_exact and kind is not None else 0
    mode = old.wish.retrain if isinstance(old, ExactSpace) else old.training.retrain if old.training else "manual"
    space.training = Training(count_searchable(reading), mean_error(space, some, workers), rerank, mode)
    settings, arrays = record_of(space)

    def convert(snapshot: Snapshot, rows: I64) -> tuple[Any, U8 | None]:
        vectors = reading_of(snapshot).vectors_of(rows)
        if old.originals is not None and old.original_kind == kind:  # rounded once, and not again
            return space.encode(vectors, workers), snapshot.originals_of(rows)
        block = space.prepare(vectors, workers)
        return block.codes, block.originals

    return Rebuild(
        settings=settings,
        arrays=arrays,
        packing=space.packing,
        row_bytes=0 if space.originals is None else space.originals.row_bytes,
        features=features_of(space),
        convert=convert,
        dropped_notes=(_CALIBRATION,),
    )


def _wide_enough(reading: Reading, kind: OriginalKind | None) -> OriginalKind | None:
    """float16 where all values fit it, else float32."""
    if kind != "float16" or isinstance(reading.space, CodeSpace):
        return kind
    largest = np.finfo(np.float16).max
    for rows in reading.snapshot.rows.live_blocks(_BLOCK_ROWS):
        if (np.abs(reading.vectors_of(rows)) > largest).any():
            return "float32"
    return kind


def mean_error(space: CodeSpace, vectors: F32, threads: int) -> float:
    """Mean squared distance between vectors and what their codes describe; both of length 1 for "cosine"."""
    if len(vectors) == 0:
        return 0.0
    described = space.decode(space.encode(vectors, threads)).astype(np.float64)
    wide = vectors.astype(np.float64)
    if space.metric == "cosine":
        lengths = np.linalg.norm(wide, axis=1, keepdims=True)
        wide = np.divide(wide, lengths, out=np.zeros_like(wide), where=lengths > 0)
    return float(((wide - described) ** 2).sum(axis=1).mean())
