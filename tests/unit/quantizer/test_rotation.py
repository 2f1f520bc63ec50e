"""Rotations: exact rounding, orthogonal Procrustes, balanced axes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pqstore.errors import InvalidVectorError
from pqstore.quantizer.rotation import balanced_axes, departure_from_orthogonal, nearest_rotation, rotate_rows


def random_rotation(D: int, seed: int = 0) -> np.ndarray:
    return np.linalg.qr(np.random.default_rng(seed).standard_normal((D, D)))[0].astype(np.float32)


def exact(vectors: np.ndarray, rotation: np.ndarray) -> np.ndarray:
    """Each inner product summed exactly, then rounded."""
    rows, columns = vectors.astype(np.float64).tolist(), rotation.astype(np.float64).T.tolist()
    return np.array(
        [
            [np.float32(math.fsum(a * b for a, b in zip(row, column, strict=True))) for column in columns]
            for row in rows
        ],
        dtype=np.float32,
    ).reshape(len(vectors), len(rotation))


@pytest.mark.parametrize("D", [1, 3, 16, 128])
def test_every_value_is_the_exact_one_rounded_once(D: int) -> None:
    rotation = random_rotation(D)
    vectors = (np.random.default_rng(1).standard_normal((200, D)) * 100).astype(np.float32)
    np.testing.assert_array_equal(rotate_rows(vectors, rotation.astype(np.float64)), exact(vectors, rotation))


@settings(max_examples=60, deadline=None)
@given(
    hnp.arrays(
        np.float32,
        st.tuples(st.integers(0, 5), st.just(8)),
        elements=st.floats(-(2.0**100), 2.0**100, width=32, allow_subnormal=True),
    ),
    st.integers(0, 3),
)
def test_exactness_at_all_magnitudes(vectors: np.ndarray, seed: int) -> None:
    rotation = random_rotation(8, seed)
    np.testing.assert_array_equal(rotate_rows(vectors, rotation.astype(np.float64)), exact(vectors, rotation))


def test_cancellation_to_zero_is_exact() -> None:
    hadamard = np.array([[1.0]])
    while len(hadamard) < 32:
        hadamard = np.block([[hadamard, hadamard], [hadamard, -hadamard]])
    rotation = (hadamard / math.sqrt(32)).astype(np.float32)
    vectors = np.random.default_rng(2).integers(0, 3, (300, 32)).astype(np.float32)
    rotated = rotate_rows(vectors, rotation.astype(np.float64))
    np.testing.assert_array_equal(rotated == 0, vectors @ hadamard == 0)
    np.testing.assert_array_equal(rotated, exact(vectors, rotation))


def test_the_identity_changes_nothing() -> None:
    vectors = np.random.default_rng(3).integers(0, 2, (5000, 64)).astype(np.float32)  # half of it zeros
    np.testing.assert_array_equal(rotate_rows(vectors, np.eye(64)), vectors)


@pytest.mark.parametrize("D", [24, 100, 384])
def test_a_row_has_the_same_bits_alone_and_in_any_batch(D: int) -> None:
    rotation = random_rotation(D).astype(np.float64)
    vectors = np.random.default_rng(4).standard_normal((1001, D)).astype(np.float32)
    together = rotate_rows(vectors, rotation)
    for start, stop in [(0, 1), (500, 501), (1000, 1001), (3, 20), (700, 1001)]:
        np.testing.assert_array_equal(rotate_rows(vectors[start:stop], rotation), together[start:stop])


def test_a_rotation_out_of_float32_is_refused() -> None:
    largest = np.finfo(np.float32).max
    with pytest.raises(InvalidVectorError, match="row 1"):
        rotate_rows(
            np.array([[1, 1], [largest, largest]], dtype=np.float32),
            np.array([[1, -1], [1, 1]], dtype=np.float32).astype(np.float64) / math.sqrt(2),
        )


def test_departure_from_orthogonal() -> None:
    rotation = random_rotation(50)
    assert departure_from_orthogonal(rotation) < 1e-6
    assert departure_from_orthogonal(rotation * np.float32(1.01)) > 0.01
    broken = rotation.copy()
    broken[3] = broken[4]
    assert departure_from_orthogonal(broken) > 0.01


def test_procrustes_finds_the_rotation_that_was_applied() -> None:
    x = np.random.default_rng(5).standard_normal((500, 12)).astype(np.float32)
    rotation = random_rotation(12)
    y = x @ rotation
    found = nearest_rotation([(x[:200], y[:200]), (x[200:], y[200:])], 12)
    np.testing.assert_allclose(found, rotation, atol=1e-5)


def test_procrustes_is_orthogonal_even_without_information() -> None:
    found = nearest_rotation([(np.zeros((3, 6), dtype=np.float32), np.zeros((3, 6), dtype=np.float32))], 6)
    np.testing.assert_allclose(found @ found.T, np.eye(6), atol=1e-12)


@pytest.mark.parametrize("rank", [1, 3, 16])
def test_axes_are_orthogonal_at_any_rank(rank: int) -> None:
    """numpy.linalg.eig on a symmetric matrix of low rank gave axes that were far from orthogonal (0.91 off)."""
    factors = np.random.default_rng(6).standard_normal((rank, 16))
    axes = balanced_axes(factors.T @ factors, 4)
    np.testing.assert_allclose(axes.T @ axes, np.eye(16), atol=1e-10)


def test_axes_are_dealt_out_by_balanced_products() -> None:
    variances = np.array([64.0, 32, 16, 8, 4, 2, 1, 1])
    axes = balanced_axes(np.diag(variances), 2)
    products = [np.prod(variances[np.abs(axes[:, columns]).argmax(axis=0)]) for columns in (slice(0, 4), slice(4, 8))]
    assert max(products) / min(products) <= 4  # in order they would be 262144 / 8 apart


def test_axes_do_not_depend_on_the_scale() -> None:
    factors = np.random.default_rng(7).standard_normal((30, 8)) * np.arange(1, 9)
    plain = np.abs(balanced_axes(factors.T @ factors, 4))
    for scale in (1e-20, 1e20):
        np.testing.assert_allclose(np.abs(balanced_axes(factors.T @ factors * scale, 4)), plain, atol=1e-9)


def test_no_variance_at_all() -> None:
    axes = balanced_axes(np.zeros((6, 6)), 3)
    np.testing.assert_allclose(axes.T @ axes, np.eye(6), atol=1e-12)
