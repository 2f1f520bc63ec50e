"""Arrays as compiled code reads them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["readable"]


def readable(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The array, or a copy of it, with its elements one after another at an address their size divides."""
    return array if array.flags.c_contiguous and array.flags.aligned else np.array(array, order="C")
