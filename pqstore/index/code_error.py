"""How far vectors are from what their codes describe."""

from __future__ import annotations

import numpy as np

from pqstore.arrays import F32
from pqstore.index.code_space import CodeSpace

__all__ = ["mean_error"]


def mean_error(space: CodeSpace, vectors: F32, threads: int) -> float:
    """Mean squared distance between vectors and what their codes describe; both of length 1 for "cosine", where vectors
    without a direction, as a small one is when its original was rounded, are left out."""
    if space.metric == "cosine":
        vectors = vectors[(vectors != 0).any(axis=1)]
    if len(vectors) == 0:
        return 0.0
    described = space.decode(space.encode(vectors, threads)).astype(np.float64)
    wide = vectors.astype(np.float64)
    if space.metric == "cosine":
        wide /= np.linalg.norm(wide, axis=1, keepdims=True)
    return float(((wide - described) ** 2).sum(axis=1).mean())
