"""Labels for the fast scan: similar codewords get labels with a common prefix.

The compiled scans bound a distance by the least table entry of a group of codewords; the tighter the groups, the
more rows the bound discards. Renaming codewords costs nothing, so before an index is written each sub-space's codewords
are arranged as a balanced tree: 16 groups of similar codewords, each split into halves, quarters and eighths. The
**low** nibble of a label names the group of 16, because it is a byte shuffle's index; bits 7, 6, 5, 4 name the half,
the quarter and so on, most significant first.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["scan_labels"]

F64 = npt.NDArray[np.float64]

_BITS = 8
_ROUNDS = 10


def scan_labels(codewords: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """The label each codeword is stored under: uint8 (M, Ks), a one-to-one map into 0..255 in each sub-space.

    `codewords` float32 (M, Ks, Ds) with Ks <= 256. The same codewords always give the same labels.
    """
    M, Ks, _ = codewords.shape
    labels = np.empty((M, Ks), dtype=np.uint8)
    for m in range(M):
        points = codewords[m].astype(np.float64)
        order = np.empty(Ks, dtype=np.int64)
        _place(points, np.arange(Ks), 0, _BITS, order)
        # `order` counts in the tree, group first; the label has the group in its low nibble.
        labels[m] = ((order >> 4) | ((order & 15) << 4)).astype(np.uint8)
    return labels


def _place(points: F64, members: npt.NDArray[np.int64], first: int, bits: int, order: npt.NDArray[np.int64]) -> None:
    """Give `members` distinct places in ``first .. first + 2**bits - 1``, halving the group again and again."""
    if len(members) == 0:
        return
    if bits == 0:
        order[members[0]] = first
        return
    left, right = _halves(points, members)
    _place(points, left, first, bits - 1, order)
    _place(points, right, first + (1 << (bits - 1)), bits - 1, order)


def _halves(points: F64, members: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Split into two groups of equal size, similar points together: 2-means with balanced clusters.

    A split by the difference of the distances to the two centres, at its median, is the best balanced assignment.
    """
    group = points[members]
    half = (len(members) + 1) // 2
    if len(members) <= 2:
        return members[:half], members[half:]
    centred = group - group.mean(axis=0)
    # The direction of greatest spread starts the iteration; it is deterministic up to a sign that swaps the halves.
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    side = centred @ axes[0]
    for _ in range(_ROUNDS):
        ranked = np.argsort(side, kind="stable")
        low, high = group[ranked[:half]].mean(axis=0), group[ranked[half:]].mean(axis=0)
        moved = centred @ (high - low)
        if np.array_equal(np.argsort(moved, kind="stable"), ranked):
            break
        side = moved
    ranked = np.argsort(side, kind="stable")
    return members[np.sort(ranked[:half])], members[np.sort(ranked[half:])]
