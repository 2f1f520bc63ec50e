"""Tombstones: one bit a row, lowest bit first, 1 for a dead row."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pqstore.arrays import I64, U8

__all__ = ["are_set", "count_set", "live_positions", "with_bits"]

_FEW = 8  # so many bits are set one after another
_ONES = np.array([bin(byte).count("1") for byte in range(256)], dtype=np.uint8)


def are_set(bitmap: U8, positions: I64) -> npt.NDArray[np.bool_]:
    """Which of the positions are dead."""
    bits = (bitmap[positions >> 3] >> (positions & 7).astype(np.uint8)) & 1
    return np.asarray(bits, dtype=np.bool_)


def count_set(bitmap: U8) -> int:
    """How many bits are set."""
    if hasattr(np, "bitwise_count"):  # NumPy 2
        return int(np.bitwise_count(bitmap).sum(dtype=np.int64))
    return int(_ONES[bitmap].sum(dtype=np.int64))


def with_bits(bitmap: U8, positions: I64) -> tuple[U8, int]:
    """A copy of the bitmap with these bits set too, and how many of them were not set before."""
    if len(positions) <= _FEW:
        return _with_few_bits(bitmap, positions.tolist())
    flags = np.zeros(len(bitmap) * 8, dtype=np.bool_)
    flags[positions] = True
    added = np.packbits(flags, bitorder="little") & ~bitmap
    return bitmap | added, count_set(added)


def _with_few_bits(bitmap: U8, positions: list[int]) -> tuple[U8, int]:
    changed, added = bitmap.copy(), 0
    for position in positions:
        byte, bit = int(changed[position >> 3]), 1 << (position & 7)
        added += not byte & bit
        changed[position >> 3] = byte | bit
    return changed, added


def live_positions(bitmap: U8 | None, rows: int) -> I64:
    """Positions below `rows` that are not dead, ascending."""
    if bitmap is None:
        return np.arange(rows, dtype=np.int64)
    return np.flatnonzero(np.unpackbits(bitmap, count=rows, bitorder="little") == 0)
