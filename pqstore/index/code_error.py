"""How far vectors are from what their codes describe."""

from __future__ import annotations

import numpy as np

from pqstore.arrays import F32
from pqstore.index.code_space import CodeSpace

__all__ = ["mean_error"]


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
