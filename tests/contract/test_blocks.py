"""Packing and unpacking equal the layout's own, and checksums equal zlib's."""

from __future__ import annotations

import zlib

import numpy as np
import pytest

from pqstore.kernels import CodeLayout, Kernels
from pqstore.kernels.checksum import crc32
from tests.contract.cases import codes, exact, strided, unaligned


@pytest.mark.parametrize("Ks", [16, 256, 300, 65_537])
@pytest.mark.parametrize("rows", [0, 1, 31, 32, 33, 100])
def test_pack_and_unpack(kernels: Kernels, rng: np.random.Generator, Ks: int, rows: int) -> None:
    for M in [*range(1, 20), 31, 32, 33, 96, 129]:
        layout = CodeLayout(M, Ks)
        rows_of_codes = codes(rng, layout, rows)
        expected = layout.pack(rows_of_codes)
        for view in (exact, strided, unaligned):
            np.testing.assert_array_equal(kernels.pack(layout, view(rows_of_codes)), expected)
        for packed in (exact(expected), unaligned(expected)):
            found = kernels.unpack(layout, packed, rows)
            np.testing.assert_array_equal(found, rows_of_codes)
            assert found.dtype == layout.code_dtype


def test_pack_takes_wider_integers(kernels: Kernels, rng: np.random.Generator) -> None:
    layout = CodeLayout(6, 256)
    wide = rng.integers(0, 256, (50, 6))
    np.testing.assert_array_equal(kernels.pack(layout, wide), layout.pack(wide))


def test_crc32_of_every_length(rng: np.random.Generator) -> None:
    message = rng.bytes(2000)
    for length in range(len(message)):
        start = int(rng.integers(0, 2**32))
        assert crc32(message[:length]) == zlib.crc32(message[:length])
        assert crc32(message[:length], start) == zlib.crc32(message[:length], start)


def test_crc32_in_parts_and_at_any_address(rng: np.random.Generator) -> None:
    message = rng.bytes(1_000_003)
    view = memoryview(message)
    expected = zlib.crc32(message)
    for cut in (0, 1, 63, 64, 65, 255, 256, 257, 500_001):
        assert crc32(view[cut:], crc32(view[:cut])) == expected
    assert crc32(np.frombuffer(message, dtype=np.uint8)) == expected
