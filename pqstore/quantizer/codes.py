"""Codes as users give them: integers, M a row, each below Ks."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from pqstore.arrays import has_masked
from pqstore.errors import DimensionError, InvalidCodeError

__all__ = ["CodeType", "as_codes", "code_type"]

CodeType: TypeAlias = type[np.uint8] | type[np.uint16] | type[np.uint32]

# Codes checked at a time; bounds what the check of wide integers copies.
_BLOCK_CODES = 1 << 22


def code_type(Ks: int) -> CodeType:
    """The narrowest unsigned type that numbers Ks codewords: uint8, uint16 or uint32."""
    if Ks <= 1 << 8:
        return np.uint8
    return np.uint16 if Ks <= 1 << 16 else np.uint32


def as_codes(codes: npt.ArrayLike, M: int, Ks: int, what: str = "codes") -> npt.NDArray[Any]:
    """`codes` (n, M) of any integer dtype -> the same numbers, C-contiguous, in the code type of Ks.

    No copy is made where they are so already.

    Raises:
        DimensionError: `codes` is not of shape (n, M).
        InvalidCodeError: a code is negative, Ks or more, or not an integer.
    """
    if has_masked(codes):
        raise InvalidCodeError(f"{what} has masked values: fill or drop them first")
    try:
        array = np.asarray(codes)
    except ValueError as error:
        raise DimensionError(f"{what} must have shape (n, M) with M = {M}, got rows of different lengths") from error
    if array.ndim != 2 or array.shape[1] != M:
        raise DimensionError(f"{what} must have shape (n, M) with M = {M}, got {array.shape}")
    if array.dtype.kind not in "ui" and array.size:
        raise InvalidCodeError(f"{what} must be integers, got dtype {array.dtype}")
    dtype = np.dtype(code_type(Ks))
    if array.dtype.kind != "u" or np.iinfo(array.dtype).max >= Ks:
        step = max(1, _BLOCK_CODES // M)
        for first in range(0, len(array), step):
            block = array[first : first + step]
            least, most = int(block.min()), int(block.max())
            if least < 0 or most >= Ks:
                row, column = (int(i) for i in np.argwhere((block < 0) | (block >= Ks))[0])
                raise InvalidCodeError(
                    f"{what}: code {block[row, column]} in row {first + row}, column {column} is not in 0..{Ks - 1}"
                )
    return np.ascontiguousarray(array, dtype=dtype)
