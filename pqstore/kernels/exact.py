"""Exact search over originals that come in blocks: no codes. The truth that recall is measured against."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from pqstore.arrays import F32, I64, U8
from pqstore.kernels.chunk import OriginalChunk, OriginalKind
from pqstore.kernels.dispatch import active
from pqstore.kernels.originals import unit_length

__all__ = ["nearest_in_blocks"]


def nearest_in_blocks(
    kind: OriginalKind, metric: str, blocks: Iterable[tuple[I64, U8]], queries: F32, k: int, threads: int
) -> tuple[F32, I64]:
    """The k nearest originals of each query: distances float32 (q, k) and rows int64 (q, k).

    Nearest first, equal ones by row; padded with infinity and -1. A distance has the bits that re-ranking gives it.

    Args:
        kind: What the bytes of originals mean.
        metric: "l2", "dot" or "cosine".
        blocks: Rows int64 (n,), ascending, at least one, and their originals uint8 (n, row_bytes).
        queries: float32 (q, D).
    """
    wide = queries.astype(np.float64)
    asked = unit_length(wide) if metric == "cosine" else wide
    farthest = np.float32(np.inf if metric == "l2" else -np.inf)
    distances = np.full((len(queries), k), farthest, dtype=np.float32)
    rows = np.full((len(queries), k), -1, dtype=np.int64)
    for numbers, stored in blocks:
        some, places = active().exact_scan(kind, metric, (OriginalChunk(stored, 0),), asked, k, threads)
        distances = np.concatenate((distances, some), axis=1)
        rows = np.concatenate((rows, np.where(places >= 0, numbers[places], -1)), axis=1)
        # Places without a row come last, also among what is infinitely far.
        nearest = np.lexsort((rows, rows < 0, distances if metric == "l2" else -distances))[:, :k]
        distances, rows = np.take_along_axis(distances, nearest, axis=1), np.take_along_axis(rows, nearest, axis=1)
    return distances, rows
