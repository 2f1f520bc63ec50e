"""The rows that `fit` learns from: all, or a seeded sample of a larger input."""

from __future__ import annotations

import operator
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from pqstore.arrays import F32
from pqstore.errors import TrainingError
from pqstore.quantizer.distance_table import Metric
from pqstore.quantizer.progress import say
from pqstore.quantizer.vectors import VectorsLike, as_rows, block_rows, rows_to_float32, unit_rows

__all__ = ["ROWS_PER_CODEWORD", "preparation", "split", "training_vectors"]


ROWS_PER_CODEWORD = 256
"""Training rows a codeword beyond which k-means gains nothing that is worth the time."""

# Values split at a time: 1 MiB, read and written while they are near.
_SPLIT_VALUES = 1 << 18


def training_vectors(
    vecs: VectorsLike,
    M: int,
    Ks: int,
    *,
    max_rows: int | None,
    seed: np.random.SeedSequence,
    prepare: Callable[[F32, int], F32],
    verbose: bool,
) -> F32:
    """The training rows as float32 (n, D), n at most `max_rows` (None: 256 times Ks).

    `prepare(block, first)` is applied to each block of rows before it is stored.

    Raises:
        TrainingError: fewer rows than Ks, or a number of columns that M does not divide.
        DimensionError, InvalidVectorError: the rows are no vectors.
    """
    source = as_rows(vecs, None, "training vectors")
    N, D = source.shape
    limit = _checked_limit(N, D, M, Ks, max_rows)
    numbers: npt.NDArray[np.int64] | None = None
    if limit < N:
        say(verbose, f"training on a random sample of {limit} of {N} vectors; max_training_rows changes that")
        # In order of rows: a mapped file is read from front to back.
        numbers = np.sort(np.random.default_rng(seed).choice(N, size=limit, replace=False, shuffle=False))
    count = min(N, limit)
    vectors = np.empty((count, D), dtype=np.float32)
    step = block_rows(D)
    for first in range(0, count, step):
        part = None if numbers is None else numbers[first : first + step]
        chosen = slice(first, first + step) if part is None else part
        block = rows_to_float32(source[chosen], "training vectors", first, part)
        vectors[first : first + len(block)] = prepare(block, first)
    return vectors


def _checked_limit(N: int, D: int, M: int, Ks: int, max_rows: int | None) -> int:
    """At most so many of N rows are taken."""
    if D % M:
        raise TrainingError(f"M = {M} must divide the dimension of the vectors, got D = {D}")
    limit = ROWS_PER_CODEWORD * Ks if max_rows is None else operator.index(max_rows)
    if limit < Ks:
        raise TrainingError(f"max_training_rows must be at least Ks = {Ks}, got {limit}")
    if Ks > N:
        raise TrainingError(
            f"training needs at least as many vectors as there are codewords: Ks = {Ks}, got {N} vectors; "
            f"give more vectors (about {ROWS_PER_CODEWORD * Ks} are enough) or choose a smaller Ks"
        )
    return limit


def preparation(metric: Metric) -> Callable[[F32, int], F32]:
    """What is done to a block of training rows, whose first has the number given, before k-means sees it."""
    if metric == "cosine":
        return lambda block, first: unit_rows(block, "training vectors", first)
    return lambda block, first: block  # noqa: ARG005


def split(vectors: F32, M: int, rotation: F32 | None = None) -> F32:
    """Rows (n, D), rotated by `rotation` (D, D) if given -> sub-vectors of each sub-space, (M, n, D / M)."""
    n, D = vectors.shape
    groups = np.empty((M, n, D // M), dtype=np.float32)
    # A sub-vector moves as one element: copied as a whole, not float by float.
    sub_vector = np.dtype((np.void, groups.itemsize * groups.shape[2]))
    whole = groups.view(sub_vector)[..., 0]
    step = max(1, _SPLIT_VALUES // D)
    for first in range(0, n, step):
        block = vectors[first : first + step]
        if rotation is not None:
            block = block @ rotation
        whole[:, first : first + len(block)] = np.ascontiguousarray(block).view(sub_vector).T
    return groups
