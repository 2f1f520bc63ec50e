"""Codes as Faiss stores them: packed bits in rows, and blocks for its fast scan."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from pqstore.arrays import U8

__all__ = ["bits_for", "pack_rows", "row_bytes", "unpack_fast_scan", "unpack_rows"]

Codes = npt.NDArray[Any]


def bits_for(Ks: int) -> int:
    """The fewest bits that number Ks codewords, at least 1."""
    return max(1, (Ks - 1).bit_length())


def row_bytes(M: int, nbits: int) -> int:
    """Bytes of one row of M codes of `nbits` bits: Faiss's code_size."""
    return (M * nbits + 7) // 8


def _code_dtype(nbits: int) -> type[np.uint8] | type[np.uint16]:
    return np.uint8 if nbits <= 8 else np.uint16


def unpack_rows(packed: U8, M: int, nbits: int) -> Codes:
    """uint8 (n, row_bytes) -> codes (n, M), uint8 or uint16.

    Code m of a row is bits ``m * nbits`` onwards, lowest bit first, of the row read as one little-endian number.
    1 <= nbits <= 16.
    """
    if nbits == 8:
        return np.ascontiguousarray(packed)
    if nbits == 16:
        return np.ascontiguousarray(packed).view("<u2").astype(np.uint16, copy=False)
    codes = np.empty((len(packed), M), dtype=_code_dtype(nbits))
    mask = (1 << nbits) - 1
    for m in range(M):
        first, shift = divmod(m * nbits, 8)
        value = packed[:, first].astype(np.uint32) >> shift
        for more in range(1, (shift + nbits + 7) // 8):
            value |= packed[:, first + more].astype(np.uint32) << (8 * more - shift)
        codes[:, m] = value & mask
    return codes


def pack_rows(codes: Codes, nbits: int) -> U8:
    """Codes (n, M), each below 2^nbits -> uint8 (n, row_bytes): the inverse of `unpack_rows`."""
    n, M = codes.shape
    if nbits == 8:
        return np.ascontiguousarray(codes, dtype=np.uint8)
    if nbits == 16:
        return np.ascontiguousarray(codes, dtype="<u2").view(np.uint8)
    packed = np.zeros((n, row_bytes(M, nbits)), dtype=np.uint8)
    for m in range(M):
        first, shift = divmod(m * nbits, 8)
        value = codes[:, m].astype(np.uint32) << shift
        for byte in range((shift + nbits + 7) // 8):
            packed[:, first + byte] |= ((value >> (8 * byte)) & 255).astype(np.uint8)
    return packed


# The order in which 16 vectors lie in 16 bytes: 0, 8, 1, 9, ...
_LANES = np.arange(16).reshape(2, 8).T.reshape(16)


def unpack_fast_scan(blocks: U8, M: int, M2: int, block_vectors: int) -> Codes:
    """Whole blocks of an IndexPQFastScan -> codes uint8 (blocks * block_vectors, M), padding rows included.

    A block holds `block_vectors` vectors (a multiple of 32) in `M2` sub-spaces (M, rounded up to even), 4 bits a code:
    for each pair of sub-spaces and each 32 vectors, 16 bytes of the first sub-space, then 16 of the second; a byte has
    vector v in its low and v + 16 in its high half, v in the order of `_LANES`.
    """
    by_pair = blocks.reshape(-1, M2 // 2, block_vectors // 32, 2, 16)
    halves = np.empty((len(by_pair), M2 // 2, block_vectors // 32, 2, 2, 16), dtype=np.uint8)
    halves[..., 0, _LANES] = by_pair & 15
    halves[..., 1, _LANES] = by_pair >> 4
    # block, pair, group of 32, sub-space of the pair, half, lane -> block, group, half, lane, pair, sub-space
    rows = halves.transpose(0, 2, 4, 5, 1, 3).reshape(-1, M2)
    return np.ascontiguousarray(rows[:, :M])
