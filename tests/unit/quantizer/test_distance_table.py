"""`DistanceTable` alone: sums of table entries."""

from __future__ import annotations

import numpy as np
import pytest

from pqstore.errors import DimensionError, InvalidCodeError
from pqstore.quantizer import DistanceTable


@pytest.mark.parametrize("M", [1, 2, 7, 8, 9, 16, 33, 127, 128, 129, 150])
@pytest.mark.parametrize("Ks", [5, 256, 300])
def test_adist_has_the_bits_of_numpys_sum(M: int, Ks: int) -> None:
    random = np.random.default_rng(M)
    table = DistanceTable(random.standard_normal((M, Ks)).astype(np.float32) * 100)
    codes = random.integers(0, Ks, (500, M))
    np.testing.assert_array_equal(table.adist(codes), np.sum(table.dtable[range(M), codes], axis=1))


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", ">u2", "u4", "i8", "u8"])
def test_any_integer_codes(dtype: str) -> None:
    table = DistanceTable(np.array([[1, 2], [10, 20]], dtype=np.float32))
    assert table.adist(np.array([[0, 1], [1, 0]], dtype=dtype)).tolist() == [21, 12]


def test_strided_and_big_endian_tables() -> None:
    plain = np.random.default_rng(0).random((4, 8), dtype=np.float32)
    codes = np.arange(16).reshape(4, 4) % 8
    for table in (np.asfortranarray(plain), np.repeat(plain, 2, axis=1)[:, ::2]):
        np.testing.assert_array_equal(DistanceTable(table).adist(codes), DistanceTable(plain).adist(codes))


def test_threads_change_nothing() -> None:
    random = np.random.default_rng(1)
    table = DistanceTable(random.random((16, 256), dtype=np.float32))
    codes = random.integers(0, 256, (100_000, 16), dtype=np.uint8)
    np.testing.assert_array_equal(table.adist(codes, threads=1), table.adist(codes, threads=4))


def test_no_codes() -> None:
    distances = DistanceTable(np.zeros((4, 8), dtype=np.float32)).adist(np.empty((0, 4), dtype=np.uint8))
    assert distances.shape == (0,)
    assert distances.dtype == np.float32


@pytest.mark.parametrize("bad", [8, -1])
def test_codes_outside_the_table(bad: int) -> None:
    with pytest.raises(InvalidCodeError, match=f"code {bad} "):
        DistanceTable(np.zeros((4, 8), dtype=np.float32)).adist(np.array([[0, 0, bad, 0]]))


def test_other_shapes_dtypes_and_metrics() -> None:
    with pytest.raises(DimensionError, match="M = 4"):
        DistanceTable(np.zeros((4, 8), dtype=np.float32)).adist(np.zeros((4, 3), dtype=int))
    for shape in [(8,), (1, 4, 8), (4, 0)]:
        with pytest.raises(DimensionError, match="dtable"):
            DistanceTable(np.zeros(shape, dtype=np.float32))
    with pytest.raises(ValueError, match="float32"):
        DistanceTable(np.zeros((4, 8)))
    with pytest.raises(ValueError, match="metric"):
        DistanceTable(np.zeros((4, 8), dtype=np.float32), metric="angular")


def test_repr() -> None:
    assert repr(DistanceTable(np.zeros((4, 8), dtype=np.float32), "dot")) == "DistanceTable(M=4, Ks=8, metric='dot')"
