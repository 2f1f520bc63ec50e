"""Whether the codebook still fits: the error of the newest vectors beside that at training."""

from __future__ import annotations

import numpy as np

from pqstore.index.code_space import CodeSpace
from pqstore.index.reading import Reading
from pqstore.index.training import mean_error

__all__ = ["NEWEST", "drift_of"]

NEWEST = 1000
"""Rows that are looked at."""


def drift_of(reading: Reading) -> float | None:
    """`mean_error` of the 1,000 newest rows that are live, over what it was at training, which leaves them out unless
    the index has hardly grown since. None where it cannot be known."""
    space = reading.space
    if not isinstance(space, CodeSpace) or space.training is None or space.originals is None:
        return None
    rows = reading.snapshot.rows.newest(NEWEST)
    if len(rows) == 0 or space.training.error == 0.0:
        return None
    vectors = reading.vectors_of(rows)
    return float(np.float64(mean_error(space, vectors, 1)) / space.training.error)
