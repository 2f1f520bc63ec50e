"""Maximal marginal relevance: of the nearest, those that also differ from one another."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["diverse"]


def diverse(query: Any, vectors: npt.NDArray[np.float32], k: int, weight: float) -> list[int]:
    """Rows of `vectors`, chosen one by one: each the greatest of ``weight * its cosine with the query - (1 - weight) *
    its greatest cosine with a chosen one``; of equals the first.

    Carbonell & Goldstein, "The use of MMR, diversity-based reranking for reordering documents and producing
    summaries", SIGIR 1998.

    Args:
        query: Array-like (D,).
        vectors: (n, D), candidates, nearest first.
        k: How many to choose; all n when there are not as many.
        weight: 1: nearness alone; 0: after the first, difference alone.

    Raises:
        ValueError: `k` is below 1, or `weight` not in 0 .. 1.
    """
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k!r}")
    if not 0 <= weight <= 1:
        raise ValueError(f"the weight of nearness must be in 0 .. 1, got {weight!r}")
    units = _units(vectors)
    nearness = units @ _units(query)
    likeness = np.full(len(units), -np.inf)  # greatest cosine with a chosen one
    free = np.ones(len(units), dtype=bool)
    chosen: list[int] = []
    while len(chosen) < min(k, len(units)):
        gains = weight * nearness - (1 - weight) * likeness if chosen else nearness
        best = int(np.argmax(np.where(free, gains, -np.inf)))
        chosen.append(best)
        free[best] = False
        likeness = np.maximum(likeness, units @ units[best])
    return chosen


def _units(vectors: Any) -> npt.NDArray[np.float64]:
    """Vectors of length 1, float64; a vector of zeros stays one."""
    wide = np.asarray(vectors, dtype=np.float64)
    lengths = np.linalg.norm(wide, axis=-1, keepdims=True)
    return wide / np.where(lengths == 0, 1, lengths)
