"""Distance tables and sums over them: asymmetric distance computation (Jegou, Douze, Schmid 2011, section III)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from pqstore.arrays import F32

__all__ = ["adist", "dtables"]


# Rows summed at a time: their codes and accumulators stay in the second-level cache.
_BLOCK_ROWS = 16_384


def dtables(queries: F32, codewords: F32, metric: str) -> F32:
    """One distance table a query: float32 (n, M, Ks).

    `queries` float32 (n, M * Ds), `codewords` float32 (M, Ks, Ds). For "l2" an entry is the squared distance of the
    query's sub-vector to the codeword; for "dot" it is their inner product. The order of the float32 operations is
    part of the definition: dimension after dimension, product rounded, then added.
    """
    M, Ks, Ds = codewords.shape
    split = queries.reshape(len(queries), M, 1, Ds)
    tables = np.zeros((len(queries), M, Ks), dtype=np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        for d in range(Ds):
            if metric == "l2":
                difference = split[..., d] - codewords[None, :, :, d]
                tables += difference * difference
            else:
                tables += split[..., d] * codewords[None, :, :, d]
    return tables


def adist(dtable: F32, codes: npt.NDArray[Any]) -> F32:
    """Sum of ``dtable[m, codes[i, m]]`` over m for each row i: float32 (n,).

    `dtable` float32 (M, Ks), `codes` any unsigned dtype (n, M). A code beyond Ks - 1 gives +infinity. The order of the
    additions is part of the definition, see `_ordered_sum`; it is the order of ``np.sum(axis=1)``.
    """
    n = len(codes)
    distances = np.empty(n, dtype=np.float32)
    Ks = dtable.shape[1]
    if codes.dtype.itemsize > 1 or Ks < 256:
        # One more entry for every code that has no codeword: read from no other place, whatever the code says.
        dtable = np.concatenate((dtable, np.full((len(dtable), 1), np.inf, dtype=np.float32)), axis=1)
    last = min(dtable.shape[1] - 1, np.iinfo(codes.dtype).max)
    with np.errstate(over="ignore", invalid="ignore"):
        for start in range(0, n, _BLOCK_ROWS):
            block = np.minimum(codes[start : start + _BLOCK_ROWS].T, last)
            distances[start : start + _BLOCK_ROWS] = _ordered_sum(dtable, block)
    return distances


def _ordered_sum(dtable: F32, codes: npt.NDArray[Any]) -> F32:
    """Sum over m of ``dtable[m][codes[m]]``, codes (M, n), in the frozen order.

    One after another below 8 terms. From 8 to 128: eight accumulators, term m into accumulator m mod 8, joined as
    ((0+1)+(2+3))+((4+5)+(6+7)), the remainder (M mod 8 terms) then added one after another. Beyond 128: two halves,
    the first a multiple of 8, each by this rule.
    """
    M = len(dtable)
    if M > 128:
        half = M // 2 - M // 2 % 8
        total: F32 = _ordered_sum(dtable[:half], codes[:half]) + _ordered_sum(dtable[half:], codes[half:])
        return total
    terms = (np.take(table, code) for table, code in zip(dtable, codes, strict=True))
    if M < 8:
        total = next(terms)
        for term in terms:
            total = total + term
        return total
    accumulators = [next(terms) for _ in range(8)]
    for m in range(8, M - M % 8):
        accumulators[m % 8] += next(terms)
    a, b, c, d, e, f, g, h = accumulators
    total = ((a + b) + (c + d)) + ((e + f) + (g + h))
    for term in terms:
        total += term
    return total
