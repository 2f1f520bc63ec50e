"""Rescoring of candidates by their stored originals: compiled where there is a compiled module, to the same bits."""

from __future__ import annotations

from typing import Literal

import numpy as np

from pqstore.arrays import F16, F32, F64, I64, U8
from pqstore.kernels.dispatch import active
from pqstore.kernels.reference.rescoring import decode_originals, exact_distances, unit_length
from pqstore.native import native_module

__all__ = ["OriginalKind", "as_halves", "decode_originals", "nearest_originals", "unit_length"]

OriginalKind = Literal["float32", "float16", "int8"]


def nearest_originals(
    kind: OriginalKind, metric: str, stored: U8, places: I64, rows: I64, query: F64, k: int
) -> tuple[F32, I64]:
    """The k nearest of the candidates ``stored[places]``: distances float32 (k,) and their `rows`, nearest first, equal
    distances by row.

    Args:
        kind: What the bytes of `stored`, uint8 (n, row_bytes), mean; see `decode_originals`.
        metric: "l2", "dot" or "cosine"; see `pqstore.kernels.reference.rescoring.exact_distances`.
        places: int64 (c,), which of `stored` are candidates.
        rows: int64 (c,), the row number of each.
        query: float64 (D,); of length 1 for "cosine".
        k: At most c.
    """
    native, name = native_module(), active().name
    if native is not None and name != "numpy":
        distances, found = np.empty(k, dtype=np.float32), np.empty(k, dtype=np.int64)
        native.nearest_of(kind, metric, stored, places, rows, query, name == "portable", distances, found)
        return distances, found
    exact = exact_distances(metric, decode_originals(kind, len(query), stored[places]), query)
    order = np.lexsort((rows, exact if metric == "l2" else -exact))[:k]
    return exact[order], rows[order]


def as_halves(vectors: F32) -> tuple[F16, bool]:
    """Finite float32 (n, D) -> float16, rounded to even, and whether all are finite still."""
    native = native_module()
    if native is not None and active().name != "numpy" and vectors.flags.c_contiguous:
        halves = np.empty(vectors.shape, dtype=np.uint16)
        finite = native.to_halves(vectors, halves)
        if finite is not None:
            return halves.view(np.float16), finite
    with np.errstate(over="ignore"):
        rounded = np.ascontiguousarray(vectors).astype("<f2")
    return rounded, bool(np.isfinite(rounded).all())
