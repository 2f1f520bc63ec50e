"""What a search gives back."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["SearchResult"]


class SearchResult(NamedTuple):
    """Nearest first; unpacks as ``ids, distances = index.search(...)``.

    One query of shape (D,) gives arrays of shape (k,), queries of shape (n, D) give (n, k). Where fewer than k rows are
    live, the rest is id -1 (or None, with str ids) and distance +inf (-inf for "dot" and "cosine").
    """

    ids: npt.NDArray[Any]
    """int64, or dtype object holding str."""
    distances: npt.NDArray[np.float32]
    """Squared distances for "l2"; inner products for "dot" and "cosine"."""
