"""Labels for the fast scan: similar codewords get labels with a common prefix.

The compiled scans bound a distance by the least table entry of a group of codewords; the tighter the groups, the
more rows the bound discards. Renaming codewords costs nothing, so before an index is written each sub-space's codewords
are put into 64 groups of four, and each four into two pairs, so that the distances within groups are small. The **low**
nibble of a label and its bits 7 and 6 name the four (the nibble is a byte shuffle's index), bit 5 the pair, bit 4 the
codeword.

Every operation is done on single elements in a fixed order, so that the same codewords give the same labels on every
machine.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pqstore.arrays import F64, I64

__all__ = ["scan_labels"]


_PLACES = 256
_FOURS = 64
# A swap search converges in about ten rounds; the bound is for codewords that would never settle.
_ROUNDS = 40


def scan_labels(codewords: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """The label each codeword is stored under: uint8 (M, Ks), a one-to-one map into 0..255 in each sub-space.

    `codewords` float32 (M, Ks, Ds) with Ks <= 256. The same codewords always give the same labels.
    """
    M, Ks, _ = codewords.shape
    labels = np.empty((M, Ks), dtype=np.uint8)
    four, member = np.divmod(np.arange(_PLACES), 4)
    label_of_place = ((four >> 2) | ((four & 3) << 6) | (member << 4)).astype(np.uint8)
    for m in range(M):
        places = np.empty(_PLACES, dtype=np.int64)
        places[_grouped(codewords[m].astype(np.float64))] = np.arange(_PLACES)
        labels[m] = label_of_place[places[:Ks]]
    return labels


def _grouped(points: F64) -> I64:
    """The order, int64 (256,), in which codewords stand in fours and pairs; Ks and above are no codewords."""
    Ks = len(points)
    # Places that no codeword takes are near to everything: they go where they make room.
    filled = points[np.arange(_PLACES) % Ks]
    distances = np.zeros((_PLACES, _PLACES))
    for component in points.T:
        difference = component[:, None] - component[None, :]
        distances[:Ks, :Ks] += difference * difference
    distances = np.sqrt(distances)
    fours = _swapped(distances, _split(filled))
    return _paired(distances, fours).reshape(-1)


def _split(points: F64) -> I64:
    """64 groups of four, int64 (64, 4): halved again and again across the widest dimension."""
    order = np.arange(_PLACES).reshape(1, _PLACES)
    while order.shape[1] > 4:
        grouped = points[order]
        widest = (grouped.max(axis=1) - grouped.min(axis=1)).argmax(axis=1)
        along = np.take_along_axis(grouped, widest[:, None, None], axis=2)[:, :, 0]
        ranked = np.take_along_axis(order, np.argsort(along, axis=1, kind="stable"), axis=1)
        order = ranked.reshape(-1, order.shape[1] // 2)
    return order


def _swapped(distances: F64, fours: I64) -> I64:
    """Swaps members of groups as long as that makes the sum of the distances within groups smaller."""
    fours = fours.copy()
    everyone = np.arange(_PLACES)
    group, slot = np.empty(_PLACES, dtype=np.int64), np.empty(_PLACES, dtype=np.int64)
    for _ in range(_ROUNDS):
        group[fours] = np.arange(_FOURS)[:, None]
        slot[fours] = np.arange(4)[None, :]
        a, b, c, d = fours.T
        # to_group[i, g]: the distances of i to the members of group g
        to_group = ((distances[:, a] + distances[:, b]) + distances[:, c]) + distances[:, d]
        to_theirs = to_group[:, group]
        change = to_theirs - to_group[everyone, group][:, None]
        change = (change + change.T) - 2 * distances  # if i and j change places
        change[group[:, None] == group[None, :]] = 0
        partner = change.argmin(axis=1)
        gain = -change[everyone, partner]
        used = np.zeros(_FOURS, dtype=bool)
        for i in np.argsort(-gain, kind="stable").tolist():
            j = int(partner[i])
            # Rounding must not make two codewords change places for ever.
            if gain[i] <= 1e-9 * distances[i, j]:
                break
            if not used[group[i]] and not used[group[j]]:
                used[group[i]] = used[group[j]] = True
                fours[group[i], slot[i]], fours[group[j], slot[j]] = j, i
        if not used.any():
            break
    return fours


def _paired(distances: F64, fours: I64) -> I64:
    """Each four as two pairs, int64 (64, 2, 2): of the three ways, the one with the nearest pairs."""
    ways = np.array([[0, 1, 2, 3], [0, 2, 1, 3], [0, 3, 1, 2]])
    a, b, c, d = np.moveaxis(fours[:, ways], 2, 0)
    best = (distances[a, b] + distances[c, d]).argmin(axis=1)
    return np.take_along_axis(fours, ways[best], axis=1).reshape(_FOURS, 2, 2)
