"""Distance tables and sums over them equal the reference to the bit; nanopq's order of additions is theirs."""

from __future__ import annotations

import numpy as np
import pytest

from pqstore.kernels import Kernels, reference
from tests.contract.cases import codewords, exact, strided, unaligned


def assert_same_bits(found: np.ndarray, expected: np.ndarray) -> None:
    np.testing.assert_array_equal(found.view(np.uint32), expected.view(np.uint32))


@pytest.mark.parametrize("metric", ["l2", "dot"])
@pytest.mark.parametrize("Ds", [1, 2, 4, 7, 8, 9, 15, 16, 33])
def test_dtables(kernels: Kernels, rng: np.random.Generator, Ds: int, metric: str) -> None:
    for M, Ks in ((1, 1), (3, 7), (2, 8), (2, 33), (5, 256)):
        words = exact(codewords(rng, M, Ks, Ds))
        for n in (0, 1, 2, 4, 5, 9):
            queries = exact(rng.standard_normal((n, M * Ds)).astype(np.float32))
            assert_same_bits(kernels.dtables(queries, words, metric), reference.dtables(queries, words, metric))


@pytest.mark.parametrize("metric", ["l2", "dot"])
def test_dtables_of_awkward_arrays(kernels: Kernels, rng: np.random.Generator, metric: str) -> None:
    words, queries = codewords(rng, 3, 20, 5), rng.standard_normal((6, 15)).astype(np.float32)
    expected = reference.dtables(queries, words, metric)
    for view in (strided, unaligned, np.asfortranarray):
        assert_same_bits(kernels.dtables(view(queries), view(words), metric), expected)


@pytest.mark.parametrize("metric", ["l2", "dot"])
def test_dtables_that_overflow(kernels: Kernels, rng: np.random.Generator, metric: str) -> None:
    words, queries = codewords(rng, 2, 30, 9) * np.float32(1e20), rng.standard_normal((3, 18)).astype(np.float32)
    expected = reference.dtables(queries * np.float32(1e20), words, metric)
    assert not np.isfinite(expected).all()
    np.testing.assert_array_equal(kernels.dtables(queries * np.float32(1e20), words, metric), expected)


@pytest.mark.parametrize("M", range(1, 131))
def test_adist_every_width(kernels: Kernels, rng: np.random.Generator, M: int) -> None:
    for Ks, dtype in ((256, np.uint8), (100, np.uint8), (300, np.uint16)):
        table = exact(rng.random((M, Ks)).astype(np.float32))
        codes = exact(rng.integers(0, Ks, (33, M)).astype(dtype))
        found = kernels.adist(table, codes)
        assert_same_bits(found, reference.adist(table, codes))
        assert_same_bits(found, table[np.arange(M), codes].sum(axis=1))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32, np.uint64])
@pytest.mark.parametrize("rows", [0, 1, 31, 32, 33, 40_000])
def test_adist_every_dtype(kernels: Kernels, rng: np.random.Generator, rows: int, dtype: type) -> None:
    table = rng.random((5, 90)).astype(np.float32)
    codes = rng.integers(0, 90, (rows, 5)).astype(dtype)
    expected = reference.adist(table, codes)
    for view in (exact, strided, unaligned):
        for threads in (1, 3):
            assert_same_bits(kernels.adist(view(table), view(codes), threads), expected)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32, np.uint64])
def test_codes_beyond_the_table_are_infinitely_far(kernels: Kernels, rng: np.random.Generator, dtype: type) -> None:
    table = exact(rng.random((4, 90)).astype(np.float32))
    codes = rng.integers(0, 90, (50, 4)).astype(dtype)
    codes[::3, 1] = np.iinfo(dtype).max
    codes[1::3, 2] = 90
    found = kernels.adist(table, codes)
    assert_same_bits(found, reference.adist(table, codes))
    assert (found == np.inf).sum() > 30


def test_adist_of_extreme_tables(kernels: Kernels, rng: np.random.Generator) -> None:
    table = rng.random((20, 256)).astype(np.float32)
    table[rng.random(table.shape) < 0.05] = np.inf
    table[rng.random(table.shape) < 0.01] = 3e38
    codes = rng.integers(0, 256, (500, 20)).astype(np.uint8)
    assert_same_bits(kernels.adist(table, codes), reference.adist(table, codes))
