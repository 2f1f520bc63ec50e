"""The types of arrays that the rooms hand to one another. Shapes are said where they are used."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["F16", "F32", "F64", "I64", "U8", "U16", "U64", "has_masked"]

F16: TypeAlias = npt.NDArray[np.float16]
F32: TypeAlias = npt.NDArray[np.float32]
F64: TypeAlias = npt.NDArray[np.float64]
I64: TypeAlias = npt.NDArray[np.int64]
U8: TypeAlias = npt.NDArray[np.uint8]
U16: TypeAlias = npt.NDArray[np.uint16]
U64: TypeAlias = npt.NDArray[np.uint64]


def has_masked(x: Any) -> bool:
    """Whether `x`, an array or rows in a list, has masked values (`numpy.ma`).

    What lies under a mask means nothing, and NumPy drops the mask without a word.
    """
    if isinstance(x, (list, tuple)):
        kinds = set(map(type, x))  # one vector may be a list too, of hundreds of floats
        may_be = any(issubclass(kind, np.ma.MaskedArray) for kind in kinds)
        return may_be and any(has_masked(row) for row in x if isinstance(row, np.ma.MaskedArray))
    return isinstance(x, np.ma.MaskedArray) and np.ma.is_masked(x)
