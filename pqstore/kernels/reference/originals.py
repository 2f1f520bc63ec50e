"""Exact distances of a query to stored originals: what a value is, and the order in which terms are added."""

from __future__ import annotations

import numpy as np

from pqstore.arrays import F32, F64, U8
from pqstore.kernels.chunk import OriginalKind

__all__ = ["decode_originals", "exact_distances", "unit_length"]


_LANES = 8


def decode_originals(kind: OriginalKind, D: int, stored: U8) -> F32:
    """uint8 (n, row_bytes) -> vectors float32 (n, D). "int8" is D levels, then a scale and an offset in float32:
    ``level * scale``, rounded, ``+ offset``, rounded."""
    if kind == "int8":
        affine = np.ascontiguousarray(stored[:, D:]).view("<f4")
        vectors: F32 = stored[:, :D].astype(np.float32)
        vectors *= affine[:, :1]
        vectors += affine[:, 1:]
        return vectors
    dtype = "<f4" if kind == "float32" else "<f2"
    return np.ascontiguousarray(stored).view(dtype).astype(np.float32)


def exact_distances(metric: str, vectors: F32, query: F64) -> F32:
    """Squared distances (l2), inner products (dot), or inner products over the length of the vector (cosine, where
    `query` has length 1): float32 (n,). All arithmetic is float64, and rounded once at the end."""
    wide = vectors.astype(np.float64)
    if metric == "l2":
        difference = wide - query
        exact = _sum(difference * difference)
    else:
        exact = _sum(wide * query)
        if metric == "cosine":
            lengths = np.sqrt(_sum(wide * wide))
            exact /= np.where(lengths > 0, lengths, 1)
    with np.errstate(over="ignore"):
        return exact.astype(np.float32)


def unit_length(vectors: F64) -> F64:
    """Each row by its length; rows of zeros stay."""
    lengths = np.sqrt(_sum(vectors * vectors))
    unit: F64 = vectors / np.where(lengths > 0, lengths, 1)[:, None]
    return unit


def _sum(terms: F64) -> F64:
    """Sums of the rows, (n, D) -> (n,): term d goes to lane d % 8, in order; then halves are added to halves."""
    n, D = terms.shape
    lanes = np.zeros((n, _LANES))
    for start in range(0, D, _LANES):
        part = terms[:, start : start + _LANES]
        lanes[:, : part.shape[1]] += part
    halves = lanes[:, :4] + lanes[:, 4:]
    quarters = halves[:, :2] + halves[:, 2:]
    return quarters[:, 0] + quarters[:, 1]
