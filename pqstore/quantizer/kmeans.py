"""Lloyd's k-means in all sub-spaces at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from pqstore.arrays import F32, F64, I64
from pqstore.kernels import active

__all__ = ["LloydIteration", "head_start", "lloyd", "lloyd_once", "sum_of_squares"]

Labels: TypeAlias = npt.NDArray[Any]


# A head start runs on one row of so many, for at most so many rounds: together the price of one round over all.
_HEAD_START_SHARE = 8
# Of fewer rows a codeword learns their chance.
_HEAD_START_ROWS_PER_CODEWORD = 16


class LloydIteration(NamedTuple):
    """One assignment and the means that follow from it."""

    codewords: F32
    """float32 (M, Ks, Ds): the new means."""
    labels: Labels
    """Integers (M, n): the cluster of each sub-vector, after empty clusters took theirs."""
    error: float
    """Mean over rows of the squared distance to the codewords that the iteration began with."""


def lloyd(
    groups: F32,
    codewords: F32,
    iterations: int,
    threads: int,
    on_iteration: Callable[[int, float], None],
) -> F32:
    """At most `iterations` rounds of assignment and means; fewer when the labels no longer change.

    `groups` float32 (M, n, Ds), `codewords` float32 (M, Ks, Ds) to start from, which stay as they are.
    `on_iteration(i, error)` is called after each round, i from 1.
    """
    labels: Labels | None = None
    squares = sum_of_squares(groups)
    for i in range(1, iterations + 1):
        result = lloyd_once(groups, codewords, squares, threads)
        on_iteration(i, result.error)
        if labels is not None and np.array_equal(labels, result.labels):
            break
        codewords, labels = result.codewords, result.labels
    return codewords


def head_start(groups: F32, codewords: F32, iterations: int, threads: int, seed: np.random.SeedSequence) -> F32:
    """Codewords improved by at most `iterations` rounds on a random eighth of the rows; as they are if rows are few.

    Costs as much as one round on all rows, and saves several.
    """
    sampled = groups.shape[1] // _HEAD_START_SHARE
    if sampled < _HEAD_START_ROWS_PER_CODEWORD * codewords.shape[1]:
        return codewords
    rows = np.sort(np.random.default_rng(seed).choice(groups.shape[1], size=sampled, replace=False))
    rounds = min(iterations, _HEAD_START_SHARE)
    return lloyd(np.take(groups, rows, axis=1), codewords, rounds, threads, lambda *_: None)


def lloyd_once(groups: F32, codewords: F32, squares: float, threads: int) -> LloydIteration:
    """Assign each sub-vector to its nearest codeword, give empty clusters a member, and take means.

    `squares` is the `sum_of_squares` of `groups`, which no iteration changes.
    """
    labels, sums, counts = active().lloyd_step(groups, codewords, threads)
    # |x - c|^2 = |x|^2 - 2 x.c + |c|^2, added up by cluster: needs the sums alone.
    wide = codewords.astype(np.float64)
    total = squares + np.einsum("mkd,mkd->", counts[:, :, None] * wide - 2 * sums, wide)
    error = max(0.0, float(total)) / max(1, groups.shape[1])
    for m in np.flatnonzero((counts == 0).any(axis=1)):
        _fill_empty(groups[m], codewords[m], labels[m], sums[m], counts[m])
    means = codewords.copy()  # a cluster that stays empty keeps its codeword
    occupied = counts > 0
    means[occupied] = (sums[occupied] / counts[occupied][:, None]).astype(np.float32)
    return LloydIteration(means, labels, error)


def sum_of_squares(groups: F32) -> float:
    """The sum of all squared values."""
    total = 0.0
    for group in groups:
        wide = group.astype(np.float64)
        total += float(np.einsum("nd,nd->", wide, wide))  # other threads go on, as they do not in a product of BLAS
    return total


def _fill_empty(points: F32, codewords: F32, labels: Labels, sums: F64, counts: I64) -> None:
    """Move to each empty cluster, in order, the row of largest error whose cluster has others; ties go to the lowest.

    Changes `labels` (n,), `sums` (Ks, Ds) and `counts` (Ks,). Rows without error stay where they are: a cluster of them
    would help nobody.
    """
    difference = points.astype(np.float64) - codewords[labels]
    errors = np.einsum("nd,nd->n", difference, difference)
    empty = iter(np.flatnonzero(counts == 0))
    target = next(empty)
    for row in np.argsort(-errors, kind="stable"):
        source = labels[row]
        if errors[row] == 0:
            return
        if counts[source] < 2:
            continue
        counts[source] -= 1
        sums[source] -= points[row]
        labels[row], counts[target], sums[target] = target, 1, points[row]
        following = next(empty, None)
        if following is None:
            return
        target = following
