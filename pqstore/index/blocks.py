"""Vectors of any size and source, as checked float32 blocks of bounded memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from pqstore.errors import DimensionError
from pqstore.quantizer.vectors import as_vectors

__all__ = ["code_blocks", "vector_blocks"]

F32 = npt.NDArray[np.float32]

# Bytes of float32 vectors held at a time.
_BLOCK_BYTES = 32 << 20


def _block_rows(D: int) -> int:
    return max(32, _BLOCK_BYTES // (4 * D) // 32 * 32)


def vector_blocks(vectors: Any, D: int) -> tuple[Iterator[F32], int | None]:
    """Checked blocks float32 (b, D), and how many rows there are in all where that is known.

    `vectors` is an array or anything NumPy makes one from: (n, D), or (D,) for one vector; or an iterator of such arrays.

    Raises:
        DimensionError, InvalidVectorError: on the offending block, when it is reached.
    """
    if isinstance(vectors, Iterator):
        return _stream(vectors, D), None
    if not isinstance(vectors, np.ndarray):
        vectors = np.asarray(vectors) if np.size(vectors) else np.empty((0, D), dtype=np.float32)
    if vectors.ndim == 1:
        vectors = vectors[None, :]
    if vectors.ndim != 2:
        raise DimensionError(f"vectors must have shape (n, {D}), or ({D},) for one vector; got {vectors.shape}")
    return _slices(vectors, D), len(vectors)


def _slices(vectors: npt.NDArray[Any], D: int) -> Iterator[F32]:
    step = _block_rows(D)
    for start in range(0, len(vectors), step):
        yield as_vectors(vectors[start : start + step], D, what="vectors")


def _stream(sources: Iterable[Any], D: int) -> Iterator[F32]:
    for source in sources:
        yield from vector_blocks(source, D)[0]


def code_blocks(codes: Any, M: int, Ks: int) -> tuple[Iterator[npt.NDArray[Any]], int | None]:
    """Checked blocks of codes (b, M) in the quantizer's labels; arguments and results as of `vector_blocks`.

    Raises:
        DimensionError: the shape is wrong.
        TypeError: the codes are not integers.
        ValueError: a code is not in 0 .. Ks - 1.
    """
    if isinstance(codes, Iterator):
        return (block for source in codes for block in code_blocks(source, M, Ks)[0]), None
    array = np.asarray(codes)
    if array.size == 0 and array.ndim < 2:
        array = np.empty((0, M), dtype=np.uint8)
    if array.ndim == 1:
        array = array[None, :]
    if array.ndim != 2 or array.shape[1] != M:
        raise DimensionError(f"codes must have shape (n, {M}), got {np.shape(codes)}")
    if array.dtype.kind not in "iu":
        raise TypeError(f"codes must be integers, got {array.dtype}")
    return _code_slices(array, Ks), len(array)


def _code_slices(codes: npt.NDArray[Any], Ks: int) -> Iterator[npt.NDArray[Any]]:
    step = max(32, _BLOCK_BYTES // (codes.itemsize * codes.shape[1]) // 32 * 32)
    for start in range(0, len(codes), step):
        block = codes[start : start + step]
        # An unsigned type that cannot hold Ks needs no look.
        if (codes.dtype.kind == "i" or np.iinfo(codes.dtype).max >= Ks) and (block.max() >= Ks or block.min() < 0):
            row = start + int(np.flatnonzero(((block >= Ks) | (block < 0)).any(axis=1))[0])
            raise ValueError(f"row {row} holds a code outside 0 .. {Ks - 1}: codes must be of the index's quantizer")
        yield block
