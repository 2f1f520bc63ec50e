"""Numbers that came as floats or decimals, as the whole numbers that they are."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["whole_numbers"]

# Up to here float64 has every whole number, and no two that differ meet.
_EXACT = 1 << 53


def whole_numbers(values: npt.NDArray[Any]) -> tuple[npt.NDArray[np.int64], int | None]:
    """Floats (n,) as int64 (n,), and the position of the first that is no whole number below 2^53 (None: all are)."""
    wide = np.asarray(values, dtype=np.float64)
    with np.errstate(invalid="ignore"):
        other = np.flatnonzero(~((np.floor(wide) == wide) & (np.abs(wide) <= _EXACT)))
        return wide.astype(np.int64), int(other[0]) if len(other) else None
