"""Labels of codewords equal those of the reference: an index must not depend on the machine that made it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from pqstore.kernels import Kernels
from pqstore.kernels.reference import scan_labels
from tests.contract.cases import unaligned


def normal(rng: np.random.Generator, shape: tuple[int, int, int]) -> npt.NDArray[np.float64]:
    return rng.standard_normal(shape)


def on_a_grid(rng: np.random.Generator, shape: tuple[int, int, int]) -> npt.NDArray[np.float64]:
    """Many equal distances, and equal codewords where Ds is small."""
    return rng.integers(0, 4, shape).astype(np.float64)


def in_clusters(rng: np.random.Generator, shape: tuple[int, int, int]) -> npt.NDArray[np.float64]:
    M, Ks, Ds = shape
    centres = rng.uniform(-100, 100, (M, 8, Ds))
    return centres[:, rng.integers(0, 8, Ks)] + rng.uniform(-0.01, 0.01, shape)


def mostly_equal(rng: np.random.Generator, shape: tuple[int, int, int]) -> npt.NDArray[np.float64]:
    M, Ks, _ = shape
    return rng.standard_normal(shape) * (rng.random((M, Ks, 1)) < 0.1)


def huge(rng: np.random.Generator, shape: tuple[int, int, int]) -> npt.NDArray[np.float64]:
    return rng.uniform(-3e38, 3e38, shape)


@pytest.mark.parametrize("words", [normal, on_a_grid, in_clusters, mostly_equal, huge])
@pytest.mark.parametrize("Ks", [1, 2, 17, 100, 255, 256])
def test_labels(kernels: Kernels, rng: np.random.Generator, words: object, Ks: int) -> None:
    assert callable(words)
    for M, Ds in ((1, 1), (3, 2), (2, 8), (1, 37)):
        codewords = words(rng, (M, Ks, Ds)).astype(np.float32)
        labels = kernels.scan_labels(codewords)
        assert labels.dtype == np.uint8
        np.testing.assert_array_equal(labels, scan_labels(codewords))


def test_codewords_anywhere_in_memory(kernels: Kernels, rng: np.random.Generator) -> None:
    codewords = rng.standard_normal((2, 256, 3)).astype(np.float32)
    expected = scan_labels(codewords)
    for same in (unaligned(codewords), codewords.copy(order="F"), np.repeat(codewords, 2, axis=1)[:, ::2]):
        np.testing.assert_array_equal(kernels.scan_labels(same), expected)


def test_no_sub_spaces(kernels: Kernels) -> None:
    assert kernels.scan_labels(np.empty((0, 256, 3), dtype=np.float32)).shape == (0, 256)
