"""Exact search over vectors in blocks: no codes. Slow, and the truth that recall is measured against."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from pqstore.arrays import F32, F64, I64

__all__ = ["nearest_vectors"]


def nearest_vectors(queries: F32, blocks: Iterable[tuple[I64, F32]], k: int, metric: str) -> I64:
    """The rows of the k nearest vectors of each query, by float64 arithmetic: int64 (q, at most k).

    Nearest first, equal ones in the order in which they came; fewer columns where there are fewer vectors.

    Args:
        queries: float32 (q, D).
        blocks: Rows int64 (n,) and their vectors float32 (n, D), n as is good for the memory: float64 (q, n) is held.
        metric: "l2", "dot" or "cosine".
    """
    asked = queries.astype(np.float64)
    far = np.empty((len(queries), 0))
    rows = np.empty((len(queries), 0), dtype=np.int64)
    for numbers, vectors in blocks:
        far = np.concatenate((far, _farness(asked, vectors.astype(np.float64), metric)), axis=1)
        rows = np.concatenate((rows, np.broadcast_to(numbers, (len(queries), len(numbers)))), axis=1)
        if far.shape[1] > k:
            chosen = _least(far, k)
            far, rows = np.take_along_axis(far, chosen, axis=1), np.take_along_axis(rows, chosen, axis=1)
    return np.take_along_axis(rows, np.argsort(far, axis=1, kind="stable"), axis=1)


def _farness(queries: F64, vectors: F64, metric: str) -> F64:
    """(q, n): smaller is nearer, of one query. What is the same for all vectors, as the query's length, is left out."""
    products: F64 = queries @ vectors.T
    if metric == "dot":
        return -products
    squares = np.einsum("nd,nd->n", vectors, vectors)
    if metric == "l2":
        return squares - 2 * products
    return -products / np.sqrt(np.where(squares > 0, squares, 1))


def _least(far: F64, k: int) -> I64:
    """Places of the k least of each row, ascending; of equal ones the first."""
    chosen = np.argpartition(far, k - 1, axis=1)[:, :k]
    edge = np.take_along_axis(far, chosen[:, k - 1 :], axis=1)
    if (np.count_nonzero(far <= edge, axis=1) > k).any():  # a partition takes any of those at the edge
        chosen = np.argsort(far, axis=1, kind="stable")[:, :k]
    return np.sort(chosen, axis=1)
