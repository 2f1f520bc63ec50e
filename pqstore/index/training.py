"""From exact to codes, and from codes to others: a quantizer trained on rows of the index encodes all of them."""

from __future__ import annotations

from typing import Any

from pqstore.errors import DimensionError, PQStoreError, TrainingError
from pqstore.index.arguments.counts import as_count
from pqstore.index.exact_space import ExactSpace
from pqstore.index.reading import Reading
from pqstore.index.selection.searchable import count_searchable
from pqstore.index.training_work import ReadingOf, TrainingWork
from pqstore.log import info
from pqstore.progress import Progress
from pqstore.quantizer import Quantizer
from pqstore.storage import Store

__all__ = ["SAMPLE_ROWS", "is_due", "retrain", "train"]

SAMPLE_ROWS = 20_000
"""Vectors that a quantizer is trained on, unless the caller says otherwise."""


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
    most = _as_sample(sample)
    with store.read() as snapshot:
        space = reading_of(snapshot).space
    if not isinstance(space, ExactSpace):
        return False
    wanted = space.wish.quantizer if quantizer is None else _fitting(quantizer, space.D)
    work = TrainingWork(reading_of, wanted, space.wish.originals, most, threads, progress)
    try:
        store.rebuild(work.plan, timeout, resumption=work.resumption, progress=progress)
    except PQStoreError:
        with store.read() as snapshot:  # another process may have been quicker
            if not isinstance(reading_of(snapshot).space, ExactSpace):
                return False
        raise
    info("index at %s: trained %r on vectors of its own; searches go by codes now", store.path, wanted)
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
    most = _as_sample(sample)
    with store.read() as snapshot:
        space = reading_of(snapshot).space
    if isinstance(space, ExactSpace):
        raise TrainingError(f"the index at {store.path} is not trained yet: call train()")
    if space.originals is None:
        raise TrainingError(
            f"the index at {store.path} keeps no vectors to train on: make a new index with originals='float16' "
            "and add the vectors to it"
        )
    wanted = _like(space.quantizer) if quantizer is None else _fitting(quantizer, space.D)
    work = TrainingWork(reading_of, wanted, space.originals.kind, most, threads, progress)
    store.rebuild(work.plan, timeout, resumption=work.resumption, progress=progress)
    info("index at %s: trained anew, %r", store.path, wanted)


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
        TypeError, DimensionError, TrainingError: it is none.
    """
    if not isinstance(quantizer, Quantizer):
        raise TypeError(f"quantizer must be a pqstore.PQ or pqstore.OPQ, got {type(quantizer).__name__}")
    if quantizer.D not in (None, D):
        raise DimensionError(f"the quantizer was trained on vectors of dimension {quantizer.D}, the index has {D}")
    if D % quantizer.M:
        raise TrainingError(f"M = {quantizer.M} does not divide the dimension {D} of the vectors of this index")
    return quantizer


def _like(quantizer: Quantizer) -> Quantizer:
    """One of the same kind and sizes, not trained."""
    settings, _ = quantizer.state()
    return Quantizer.from_state({**settings, "D": None}, {})


def _as_sample(sample: Any) -> int:
    if isinstance(sample, bool):
        raise TypeError("sample is a number of vectors: got a bool")
    return SAMPLE_ROWS if sample is None else as_count(sample, "sample")
