"""Equal distances stand in the order of their ids, int64 by value and str by code points.

Rows cannot say it: rewriting gives them new numbers. Where ids ascend with rows, as automatic ids do until rows are
rewritten, the order of a scan is that of ids already, and nothing here costs anything.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from pqstore.arrays import F32, I64
from pqstore.index.reading import Reading

__all__ = ["by_id", "has_ties", "reaches_beyond"]


def has_ties(distances: F32, rows: I64) -> npt.NDArray[np.bool_]:
    """Whether a row is as near as the one before it: (..., k - 1) out of (..., k), nearest first. Padding is never."""
    return (distances[..., 1:] == distances[..., :-1]) & (rows[..., 1:] >= 0)


def reaches_beyond(distances: F32, rows: I64, k: int) -> bool:
    """Whether the k-th of the nearest rows of one query and the next of them are equally near."""
    return len(rows) > k and rows[k] >= 0 and distances[k] == distances[k - 1]


def by_id(reading: Reading, distances: F32, rows: I64) -> I64:
    """The order of rows that exist, nearest first and equal distances by id: positions int64 (n,)."""
    signed = -distances if reading.space.larger_is_nearer else distances
    if reading.rows_follow_ids:
        return np.lexsort((rows, signed))
    return np.lexsort((_ranks(reading.snapshot.ids_of(rows)), signed))


def _ranks(ids: npt.NDArray[Any]) -> I64:
    """Numbers that are in the order of the ids."""
    return ids if ids.dtype == np.int64 else np.unique(ids, return_inverse=True)[1]
