"""Vectors and codes of any size and source, as checked blocks of bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from pqstore.arrays import F32, has_masked
from pqstore.errors import DimensionError
from pqstore.quantizer import as_codes, as_real_array, as_rows, vector_blocks

__all__ = ["blocks_of_codes", "blocks_of_vectors"]


# Codes checked at a time.
_BLOCK_CODES = 1 << 24


def blocks_of_vectors(vectors: Any, D: int) -> tuple[Iterator[F32], int | None]:
    """Checked blocks float32 (b, D), and how many rows there are in all where that is known.

    `vectors` is an array or what NumPy makes one from: (n, D), or (D,) for one vector; or an iterator of such arrays.

    Raises:
        DimensionError, InvalidVectorError: at once for a shape or dtype, with the block for a value.
    """
    if isinstance(vectors, Iterator):
        return (block for source in vectors for block in blocks_of_vectors(source, D)[0]), None
    array = _at_least_2d(as_real_array(vectors, "vectors"), D)
    if isinstance(array, np.ndarray) and array.ndim == 1 and len(array):
        raise DimensionError(
            f"vectors must have shape (n, {D}), or ({D},) for one, got {array.shape}: vectors come first, then ids"
        )
    rows = as_rows(array, D)
    return (block for _, block in vector_blocks(rows)), len(rows)


def blocks_of_codes(codes: Any, M: int, Ks: int) -> tuple[Iterator[npt.NDArray[Any]], int | None]:
    """Checked blocks of codes (b, M) in the quantizer's labels; arguments and results as of `blocks_of_vectors`.

    Raises:
        DimensionError, InvalidCodeError: the shape is wrong, or a code is no integer in 0 .. Ks - 1.
    """
    if isinstance(codes, Iterator):
        return (block for source in codes for block in blocks_of_codes(source, M, Ks)[0]), None
    array = _at_least_2d(codes, M)
    if not isinstance(array, np.ndarray) or array.ndim != 2 or len(array) == 0:
        array = as_codes(array, M, Ks)
    step = max(32, _BLOCK_CODES // M // 32 * 32)
    return (as_codes(array[start : start + step], M, Ks) for start in range(0, len(array), step)), len(array)


def _at_least_2d(x: Any, width: int) -> Any:
    """One row of the right width as a batch of one; anything else as it came, as an array where NumPy can make one."""
    array = x if isinstance(x, np.ndarray) or has_masked(x) else _array_or_same(x)
    return array[None, :] if isinstance(array, np.ndarray) and array.shape == (width,) else array


def _array_or_same(x: Any) -> Any:
    try:
        return np.asarray(x)
    except ValueError:  # rows of different lengths: the check that follows says so in its own words
        return x
