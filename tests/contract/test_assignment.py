"""Encoding and Lloyd steps equal the reference: the same codes, the same sums to the bit."""

from __future__ import annotations

import numpy as np
import pytest

from pqstore.kernels import Kernels, reference
from tests.contract.cases import codewords, exact, strided, unaligned


def assert_same_codes(kernels: Kernels, vectors: np.ndarray, words: np.ndarray, threads: int = 1) -> None:
    found = kernels.encode(vectors, words, threads)
    np.testing.assert_array_equal(found, reference.encode(vectors, words))
    assert np.iinfo(found.dtype).max >= words.shape[1] - 1


@pytest.mark.parametrize("Ds", [1, 2, 3, 4, 7, 8, 9, 16, 31, 384])
@pytest.mark.parametrize("Ks", [1, 2, 16, 31, 32, 33, 255, 256, 257, 1000])
def test_every_shape(kernels: Kernels, rng: np.random.Generator, Ds: int, Ks: int) -> None:
    words = exact(codewords(rng, 2, Ks, Ds))
    for n in (0, 1, 2, 3, 33, 129):
        assert_same_codes(kernels, exact(rng.standard_normal((n, 2 * Ds)).astype(np.float32)), words)


@pytest.mark.parametrize("n", [7, 8, 9, 15, 16, 17, 127, 128, 130, 257])
@pytest.mark.parametrize("Ds", [1, 3, 8, 12, 48])
def test_every_tail_of_rows(kernels: Kernels, rng: np.random.Generator, n: int, Ds: int) -> None:
    words = exact(codewords(rng, 2, 300, Ds))
    assert_same_codes(kernels, exact(rng.standard_normal((n, 2 * Ds)).astype(np.float32)), words)


@pytest.mark.parametrize("far", [10.0, 1e4, 1e12, 1e30])
def test_a_few_rows_far_from_all_codewords(kernels: Kernels, rng: np.random.Generator, far: float) -> None:
    # What is chosen to suit most rows does not reach them.
    vectors = rng.standard_normal((500, 16)).astype(np.float32)
    vectors[::31] *= np.float32(far)
    assert_same_codes(kernels, vectors, codewords(rng, 2, 256, 8))


@pytest.mark.parametrize("far", [10.0, 1e4, 1e30])
def test_a_few_codewords_far_from_all_rows(kernels: Kernels, rng: np.random.Generator, far: float) -> None:
    words = codewords(rng, 2, 256, 8)
    words[:, ::50] *= np.float32(far)
    assert_same_codes(kernels, rng.standard_normal((300, 16)).astype(np.float32), words)


def test_rows_that_are_codewords_and_codewords_twice(kernels: Kernels, rng: np.random.Generator) -> None:
    words = codewords(rng, 3, 256, 8)
    words[:, 128:] = words[:, 127::-1]
    vectors = words.transpose(1, 0, 2).reshape(256, 24).copy()
    assert_same_codes(kernels, vectors, words)
    found = kernels.encode(vectors, words)
    np.testing.assert_array_equal(found, np.minimum(np.arange(256), 255 - np.arange(256))[:, None].repeat(3, 1))


def test_many_codewords(kernels: Kernels, rng: np.random.Generator) -> None:
    assert_same_codes(kernels, rng.standard_normal((40, 3)).astype(np.float32), codewords(rng, 1, 65_536, 3))


@pytest.mark.parametrize("Ks", [8, 256, 600])
def test_ties_go_to_the_lowest_codeword(kernels: Kernels, rng: np.random.Generator, Ks: int) -> None:
    # Small whole numbers: many codewords are the same, and many vectors lie exactly between two.
    words = rng.integers(-2, 3, (3, Ks, 4)).astype(np.float32)
    vectors = rng.integers(-4, 5, (500, 12)).astype(np.float32) / 2
    assert_same_codes(kernels, vectors, words)
    assert (kernels.encode(vectors, np.zeros_like(words)) == 0).all()


@pytest.mark.parametrize("offset", [1.0, 1e3, 1e6])
def test_near_ties_are_decided_in_float64(kernels: Kernels, rng: np.random.Generator, offset: float) -> None:
    # Far from the origin float32 scores cannot tell these codewords apart.
    words = codewords(rng, 2, 256, 8) + np.float32(offset)
    vectors = rng.standard_normal((300, 16)).astype(np.float32) + np.float32(offset)
    assert_same_codes(kernels, vectors, words)


@pytest.mark.parametrize("scale", [1e-42, 1e-25, 1e18, 1e25, 3e38])
def test_extreme_magnitudes(kernels: Kernels, rng: np.random.Generator, scale: float) -> None:
    words = np.clip(codewords(rng, 2, 50, 6).astype(np.float64) * scale, -3.4e38, 3.4e38).astype(np.float32)
    vectors = np.clip(rng.standard_normal((100, 12)) * scale, -3.4e38, 3.4e38).astype(np.float32)
    assert_same_codes(kernels, vectors, words)


def test_awkward_arrays(kernels: Kernels, rng: np.random.Generator) -> None:
    words, vectors = codewords(rng, 3, 40, 5), rng.standard_normal((70, 15)).astype(np.float32)
    for view in (strided, unaligned, np.asfortranarray):
        assert_same_codes(kernels, view(vectors), view(words))


@pytest.mark.parametrize("threads", [2, 3, 7])
def test_codes_do_not_depend_on_threads(kernels: Kernels, rng: np.random.Generator, threads: int) -> None:
    words, vectors = codewords(rng, 4, 256, 8), rng.standard_normal((2000, 32)).astype(np.float32)
    assert_same_codes(kernels, vectors, words, threads)


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize(("M", "n", "Ks", "Ds"), [(1, 0, 4, 3), (3, 1, 5, 1), (2, 5000, 256, 8), (1, 300, 500, 40)])
def test_lloyd_step(kernels: Kernels, rng: np.random.Generator, M: int, n: int, Ks: int, Ds: int, threads: int) -> None:
    groups, words = rng.standard_normal((M, n, Ds)).astype(np.float32), codewords(rng, M, Ks, Ds)
    words[:, Ks // 2] = 50  # a cluster that stays empty
    for view in (exact, strided, unaligned):
        found, expected = kernels.lloyd_step(view(groups), words, threads), reference.lloyd_step(groups, words)
        for ours, theirs in zip(found, expected, strict=True):
            np.testing.assert_array_equal(ours, theirs)
