"""Nearest codewords: encoding, and one step of Lloyd's algorithm.

The nearest codeword is defined by the float64 squared distance, summed dimension after dimension, the lowest index
winning a tie: codewords so much smaller than a vector that float64 cannot tell their distances apart tie. A float32
matrix product finds it, with a proven margin; only rows with more than one codeword inside the margin are decided in
float64. So the answer does not depend on how a BLAS orders its sums, and every kernel gives the same codes.
"""

from __future__ import annotations

import numpy as np

from pqstore.arrays import F32, F64, I64

__all__ = ["encode", "lloyd_step"]


# Scores held at a time: 4 Mi float32, 16 MiB.
_BLOCK_SCORES = 1 << 22

# Magnitudes below this overflow in no score.
_SURE = 1e38


def encode(vectors: F32, codewords: F32) -> I64:
    """The nearest codeword in each sub-space: int64 (n, M), from `vectors` (n, M * Ds) and `codewords` (M, Ks, Ds)."""
    M, Ks, Ds = codewords.shape
    codes = np.empty((len(vectors), M), dtype=np.int64)
    step = max(1, _BLOCK_SCORES // Ks)
    for m in range(M):
        half_norms = np.einsum("kd,kd->k", codewords[m], codewords[m], dtype=np.float64) / 2
        for start in range(0, len(vectors), step):
            block = np.ascontiguousarray(vectors[start : start + step, m * Ds : (m + 1) * Ds])
            codes[start : start + step, m] = _nearest(block, codewords[m], half_norms)
    return codes


def lloyd_step(groups: F32, codewords: F32) -> tuple[I64, F64, I64]:
    """Assign every vector to its nearest codeword and add up each cluster.

    `groups` float32 (M, n, Ds) holds the sub-vectors of each sub-space, `codewords` float32 (M, Ks, Ds). Returns labels
    int64 (M, n), sums float64 (M, Ks, Ds) added in the order of the rows, and counts int64 (M, Ks).
    """
    M, Ks, Ds = codewords.shape
    labels = np.empty(groups.shape[:2], dtype=np.int64)
    sums = np.empty(codewords.shape, dtype=np.float64)
    counts = np.empty((M, Ks), dtype=np.int64)
    for m in range(M):
        labels[m] = encode(groups[m], codewords[m : m + 1])[:, 0]
        counts[m] = np.bincount(labels[m], minlength=Ks)
        for d in range(Ds):
            sums[m, :, d] = np.bincount(labels[m], weights=groups[m, :, d], minlength=Ks)
    return labels, sums, counts


def _nearest(vectors: F32, codewords: F32, half_norms: F64) -> I64:
    """Index of the nearest of `codewords` (Ks, Ds) for each of `vectors` (n, Ds)."""
    Ds = codewords.shape[1]
    with np.errstate(over="ignore", invalid="ignore"):
        # ||x - c||^2 / 2 = ||x||^2 / 2 + score: the first term is the same for all codewords.
        scores = half_norms.astype(np.float32) - vectors @ codewords.T
        limits = (scores.min(axis=1) + _slack(vectors, float(half_norms.max()))).astype(np.float32)
        # "Not greater" keeps NaN, which an overflow leaves, among the candidates.
        candidates = ~(scores > limits[:, None])
    nearest: I64 = candidates.argmax(axis=1)
    undecided = np.flatnonzero(candidates.sum(axis=1, dtype=np.int64) > 1)
    if len(undecided):
        rows, choices = np.nonzero(candidates[undecided])
        rows = undecided[rows]
        distances = np.zeros(len(rows), dtype=np.float64)
        for d in range(Ds):
            difference = vectors[rows, d].astype(np.float64) - codewords[choices, d]
            distances += difference * difference
        order = np.lexsort((choices, distances, rows))
        first = order[np.concatenate(([True], np.diff(rows[order]) > 0))]
        nearest[rows[first]] = choices[first]
    return nearest


def _slack(vectors: F32, largest: float) -> F64:
    """By how much the score of the nearest codeword may exceed the least score: float64 (n,).

    `largest`: half the squared length of the longest codeword.
    """
    Ds = vectors.shape[1]
    squares = np.einsum("nd,nd->n", vectors, vectors, dtype=np.float64)
    # Rounding of a score: at most Ds + 2 operations, each within 2^-24 of magnitudes bounded by Cauchy-Schwarz; within
    # 2^-149 if it underflows. Twice for the two scores compared, and twice again for safety.
    magnitudes = largest + np.sqrt(2 * largest * squares)
    of_scores = 4 * (Ds + 2) * (2.0**-24 * magnitudes + 2.0**-149)
    # Rounding of the distance that defines: Ds + 2 operations on float64 numbers of at most 2 (||x||^2 + ||c||^2).
    of_distances = 4 * (Ds + 2) * 2.0**-53 * (squares + 2 * largest)
    # An overflow makes every codeword a candidate.
    slack: F64 = np.where(magnitudes < _SURE, of_scores + of_distances, np.inf)
    return slack
