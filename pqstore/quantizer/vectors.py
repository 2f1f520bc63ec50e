"""Vectors as users give them -> float32 rows: checked once, converted a block at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from pqstore.arrays import F32
from pqstore.errors import DimensionError, InvalidVectorError
from pqstore.quantizer.array_like import as_real_array

__all__ = [
    "VectorsLike",
    "as_queries",
    "as_rows",
    "as_vectors",
    "block_rows",
    "rows_to_float32",
    "unit_rows",
    "vector_blocks",
]

VectorsLike: TypeAlias = npt.ArrayLike

# float32 values converted at a time: 16 MiB, enough work for every thread and little beside a corpus.
_BLOCK_VALUES = 1 << 22


def as_vectors(x: VectorsLike, D: int | None = None, what: str = "vectors") -> F32:
    """`x` as float32, C-contiguous, of shape (n, D).

    Lists, columns of lists, and real arrays of any library, width, byte order, stride or mapping are accepted. Native
    float32 arrays that are contiguous come back as they are, without a copy. An empty 1-D array or list is a batch of
    no vectors.

    Args:
        x: array-like of shape (n, D).
        D: the dimension expected; None accepts any.
        what: the noun for error messages.

    Raises:
        DimensionError: `x` is not 2-D, or its rows do not have D values.
        InvalidVectorError: a value is NaN, infinite or beyond float32, or `x` is not made of real numbers.

    Examples:
        >>> as_vectors([[1, 2], [3, 4]], D=2).dtype
        dtype('float32')
    """
    rows = as_rows(x, D, what)
    if rows.dtype == np.float32 and rows.dtype.isnative and rows.flags.c_contiguous:
        for _ in vector_blocks(rows, what):
            pass  # each block is checked as it passes
        return rows
    converted = np.empty(rows.shape, dtype=np.float32)
    for first, block in vector_blocks(rows, what):
        converted[first : first + len(block)] = block
    return converted


def as_queries(x: VectorsLike, D: int, what: str = "queries") -> tuple[F32, bool]:
    """`x` of shape (D,) or (n, D) as float32 (n, D), and whether it was a single vector.

    Raises:
        DimensionError, InvalidVectorError: as `as_vectors`.
    """
    array = as_real_array(x, what)
    if array.ndim == 1 and array.size:
        if len(array) != D:
            raise DimensionError(f"{what} must have D = {D} values, got an array of shape {array.shape}")
        return as_vectors(array[None, :], D, what), True
    if array.ndim not in (1, 2):
        raise DimensionError(f"{what} must have shape ({D},) or (n, {D}), got {array.shape}")
    return as_vectors(array, D, what), False


def as_rows(x: VectorsLike, D: int | None = None, what: str = "vectors") -> npt.NDArray[Any]:
    """`x` as a 2-D array of real numbers with D columns: shape and dtype are checked, values not yet read.

    Raises:
        DimensionError, InvalidVectorError: as `as_vectors`.
    """
    array = as_real_array(x, what)
    if array.ndim == 1 and array.size == 0 and D is not None:
        return np.empty((0, D), dtype=np.float32)
    if array.ndim != 2:
        advice = ": for a single vector v, give v[None, :]" if array.ndim == 1 else ""
        raise DimensionError(f"{what} must have shape (n, {'D' if D is None else D}), got {array.shape}{advice}")
    if D is not None and array.shape[1] != D:
        raise DimensionError(f"{what} must have D = {D} columns, got an array of shape {array.shape}")
    if array.shape[1] == 0:
        raise DimensionError(f"{what} must have at least one column, got an array of shape {array.shape}")
    return array


def vector_blocks(rows: npt.NDArray[Any], what: str = "vectors") -> Iterator[tuple[int, F32]]:
    """Pairs of (number of the first row, float32 rows) that cover what `as_rows` returned, in order."""
    step = block_rows(rows.shape[1])
    for first in range(0, len(rows), step):
        yield first, rows_to_float32(rows[first : first + step], what, first)


def block_rows(D: int) -> int:
    """How many rows of `D` values are converted, or encoded, at a time."""
    return max(1, _BLOCK_VALUES // D)


def rows_to_float32(
    rows: npt.NDArray[Any], what: str = "vectors", first: int = 0, numbers: npt.NDArray[np.int64] | None = None
) -> F32:
    """A block of rows as float32, C-contiguous, every value finite.

    The caller's number of row i, for error messages, is ``first + i``, or ``numbers[i]`` where given.
    """
    if rows.dtype == np.float32:  # nothing to convert, and to set NumPy's warnings aside takes longer than one row
        block: F32 = np.ascontiguousarray(rows)
    else:
        with np.errstate(over="ignore", invalid="ignore"):
            block = np.ascontiguousarray(rows, dtype=np.float32)
    finite = np.isfinite(block)
    if not finite.all():
        row, column = (int(i) for i in np.argwhere(~finite)[0])
        value = rows[row, column]
        number = first + row if numbers is None else int(numbers[row])
        problem = "is beyond the range of float32" if np.isfinite(value) else "is not a finite number"
        raise InvalidVectorError(
            f"{what}: value {value} in row {number}, column {column} {problem}: remove or repair such rows first"
        )
    return block


def unit_rows(block: F32, what: str = "vectors", first: int = 0) -> F32:
    """Each row divided by its Euclidean length, in float64, then rounded; float32 (n, D).

    Raises:
        InvalidVectorError: a row is zero, and so has no direction.
    """
    wide = block.astype(np.float64)
    lengths = np.sqrt(np.add.reduce(wide * wide, axis=1))
    zero = np.flatnonzero(lengths == 0)
    if len(zero):
        raise InvalidVectorError(
            f"{what}: row {first + int(zero[0])} is zero and has no direction, which metric 'cosine' needs: "
            "remove such rows, or use metric 'dot'"
        )
    return (wide / lengths[:, None]).astype(np.float32)
