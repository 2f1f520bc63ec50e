"""A transform to fewer dimensions as a rotation of all of them.

What the transform drops gets coordinates of its own, some in each sub-space, where every codeword is 0. So codes stay
what they are and inner products too, and every squared distance of a query grows by the squared length of what is
dropped of it: the order of answers is the same.
"""

from __future__ import annotations

import numpy as np

from pqstore.arrays import F32, F64

__all__ = ["departure_from_orthonormal", "with_dropped_dimensions"]


def departure_from_orthonormal(A: F32) -> float:
    """How far the rows of A (d_out, d_in) are from unit vectors at right angles."""
    wide = A.astype(np.float64)
    return float(np.abs(wide @ wide.T - np.eye(len(wide))).max())


def with_dropped_dimensions(R: F32, codewords: F32) -> tuple[F32, F32]:
    """(D, d) with columns at right angles and codewords (M, Ks, d / M) -> R (D, D) and codewords (M, Ks, D / M).

    M must divide D.
    """
    D, d = R.shape
    M, Ks, width = codewords.shape
    more = (D - d) // M
    dropped: F64 = np.linalg.qr(R.astype(np.float64), mode="complete")[0][:, d:]
    whole = np.concatenate([R.reshape(D, M, width), dropped.reshape(D, M, more)], axis=2, dtype=np.float32)
    return whole.reshape(D, D), np.concatenate([codewords, np.zeros((M, Ks, more), dtype=np.float32)], axis=2)
