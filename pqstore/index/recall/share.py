"""Recall: how much of the truth was found."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["recall_at"]


def recall_at(k: int, nearest: npt.NDArray[Any], truth: npt.NDArray[Any], among: int | None = None) -> float:
    """Mean share of the true k nearest among the first k of each query, or among the first `among`.

    Args:
        k: At most the number of columns of `truth`.
        nearest: Ids or rows (n, any number), nearest first, as a search gave them.
        truth: Ids or rows (n, at least k), nearest first.
    """
    shown, true = nearest[:, : among or k].tolist(), truth[:, :k].tolist()
    hits = [len(set(mine) & set(theirs)) for mine, theirs in zip(shown, true, strict=True)]
    return float(np.mean(hits)) / k
