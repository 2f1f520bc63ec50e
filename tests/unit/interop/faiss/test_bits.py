"""Bit-packed codes, against a definition one bit at a time."""

from __future__ import annotations

import numpy as np
import pytest

from pqstore.interop.faiss.bits import bits_for, pack_rows, row_bytes, unpack_fast_scan, unpack_rows


def packed_bit_by_bit(codes: np.ndarray, nbits: int) -> np.ndarray:
    bits = ((codes[:, :, None].astype(np.int64) >> np.arange(nbits)) & 1).astype(np.uint8).reshape(len(codes), -1)
    return np.packbits(bits, axis=1, bitorder="little")


@pytest.mark.parametrize("nbits", range(1, 17))
@pytest.mark.parametrize("M", [1, 2, 3, 7, 8, 13, 16])
def test_rows(nbits: int, M: int) -> None:
    codes = np.random.default_rng(nbits * M).integers(0, 1 << nbits, (57, M)).astype(np.uint16)
    codes[0], codes[1] = 0, (1 << nbits) - 1
    packed = pack_rows(codes, nbits)
    assert packed.shape == (57, row_bytes(M, nbits))
    np.testing.assert_array_equal(packed, packed_bit_by_bit(codes, nbits))
    unpacked = unpack_rows(packed, M, nbits)
    assert unpacked.dtype == (np.uint8 if nbits <= 8 else np.uint16)
    np.testing.assert_array_equal(unpacked, codes)


@pytest.mark.parametrize("nbits", [4, 8, 11, 16])
def test_no_rows(nbits: int) -> None:
    assert unpack_rows(np.empty((0, row_bytes(3, nbits)), dtype=np.uint8), 3, nbits).shape == (0, 3)
    assert pack_rows(np.empty((0, 3), dtype=np.uint8), nbits).shape == (0, row_bytes(3, nbits))


def test_bits_for() -> None:
    assert [bits_for(Ks) for Ks in (1, 2, 3, 16, 17, 256, 257, 65_536, 65_537)] == [1, 1, 2, 4, 5, 8, 9, 16, 17]


@pytest.mark.parametrize(("M", "vectors"), [(1, 32), (2, 32), (7, 32), (8, 64), (5, 96)])
def test_fast_scan_blocks(M: int, vectors: int) -> None:
    M2 = M + M % 2
    codes = np.random.default_rng(M).integers(0, 16, (vectors * 3, M2)).astype(np.uint8)
    codes[:, M:] = 0
    order = [0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15]
    blocks = [
        codes[first + group + v, m] | codes[first + group + v + 16, m] << 4
        for first in range(0, len(codes), vectors)
        for pair in range(0, M2, 2)
        for group in range(0, vectors, 32)
        for m in (pair, pair + 1)
        for v in order
    ]
    np.testing.assert_array_equal(unpack_fast_scan(np.array(blocks, dtype=np.uint8), M, M2, vectors), codes[:, :M])
