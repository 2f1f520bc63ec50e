"""The scan of originals: exact distances of every live row, the k nearest of them.

A float64 matrix product finds what can be among them, with a proven margin; only those are summed as `exact_distances`
defines. So the answer does not depend on how a BLAS orders its sums.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from pqstore.arrays import F32, F64, I64, U8
from pqstore.kernels.chunk import OriginalChunk, OriginalKind
from pqstore.kernels.reference.originals import decode_originals, exact_distances

__all__ = ["exact_scan"]


# Rows decoded at a time: bounds the memory of a scan whatever the length of a chunk.
_BLOCK_ROWS = 4096


def exact_scan(
    kind: OriginalKind, metric: str, chunks: Sequence[OriginalChunk], queries: F64, k: int
) -> tuple[F32, I64]:
    """The k nearest originals of each query: distances float32 (n, k) and rows int64 (n, k).

    `queries` float64 (n, D), of length 1 for "cosine"; distances are those of `exact_distances`. Rows are ordered from
    near to far, then by row number; dead rows are passed over. One that is not a number counts as infinitely far. Where
    there are fewer than k rows, the rest is infinitely far, and -1.
    """
    best = np.full((len(queries), k), np.inf, dtype=np.float32)  # the least is nearest
    best_rows = np.full((len(queries), k), -1, dtype=np.int64)
    for stored, rows in _live_blocks(chunks):
        vectors = decode_originals(kind, queries.shape[1], stored)
        least, most = _bounds(metric, vectors, queries)
        for q, query in enumerate(queries):
            some = _within_reach(least[q], most[q], k)
            candidates = np.concatenate((best_rows[q], rows[some]))
            distances = np.concatenate((best[q], _distances(metric, vectors[some], query)))
            # Empty places come last, also among what is infinitely far.
            order = np.lexsort((candidates, candidates < 0, distances))[:k]
            best[q], best_rows[q] = distances[order], candidates[order]
    return best if metric == "l2" else -best, best_rows


def _live_blocks(chunks: Sequence[OriginalChunk]) -> Iterator[tuple[U8, I64]]:
    """Stored originals and their row numbers, dead ones left out."""
    for chunk in chunks:
        for start in range(0, len(chunk.stored), _BLOCK_ROWS):
            positions = np.arange(start, min(start + _BLOCK_ROWS, len(chunk.stored)))
            if chunk.dead is not None:
                positions = positions[(chunk.dead[positions >> 3] >> (positions & 7).astype(np.uint8)) & 1 == 0]
            if len(positions):
                yield chunk.stored[positions], chunk.first_row + positions


def _distances(metric: str, vectors: F32, query: F64) -> F32:
    """As of `exact_distances`, the least nearest; infinite where they are not a number."""
    with np.errstate(invalid="ignore", over="ignore"):
        exact = exact_distances(metric, vectors, query)
    return np.fmin(exact if metric == "l2" else -exact, np.float32(np.inf))


def _bounds(metric: str, vectors: F32, queries: F64) -> tuple[F64, F64]:
    """Between which two values each of `_distances` lies, float64 (n, rows)."""
    with np.errstate(invalid="ignore", over="ignore"):
        wide = vectors.astype(np.float64)
        products = queries @ wide.T
        squares = np.einsum("rd,rd->r", wide, wide)
        query_squares = np.einsum("qd,qd->q", queries, queries)[:, None]
        if metric == "l2":
            values, magnitudes = squares - 2 * products + query_squares, squares + query_squares
        elif metric == "dot":
            values, magnitudes = -products, np.sqrt(squares * query_squares)
        else:
            values, magnitudes = -products / np.sqrt(np.where(squares > 0, squares, 1)), np.sqrt(query_squares)
        # Rounding of float64 sums: at most D + 4 operations each, within 2^-53 of magnitudes bounded by Cauchy-Schwarz,
        # and four times that for safety. Then the one rounding to float32, which may be denormal.
        slack = (8 * (wide.shape[1] + 4) * 2.0**-53) * magnitudes + 2.0**-23 * np.abs(values) + 2.0**-149
        sure = np.abs(values) + slack < np.finfo(np.float32).max  # else rounded to infinity, or not a number
        return np.where(sure, values - slack, -np.inf), np.where(sure, values + slack, np.inf)


def _within_reach(least: F64, most: F64, k: int) -> I64:
    """Places of those that can be among the k least."""
    if k >= len(most):
        return np.arange(len(most))
    return np.flatnonzero(least <= (np.partition(most, k - 1)[k - 1] if k else -np.inf))
