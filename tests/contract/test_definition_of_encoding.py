"""What defines a code, worked out in fractions: the reference and every set of compiled kernels give that code."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pqstore.kernels import available, get


def distance(x: npt.NDArray[np.float32], codeword: npt.NDArray[np.float32]) -> float:
    """The squared distance in float64, dimension after dimension; each operation is exact and then rounded once."""
    total = 0.0
    for a, b in zip(x, codeword, strict=True):
        difference = float(Fraction(float(a)) - Fraction(float(b)))
        total = float(Fraction(total) + Fraction(float(Fraction(difference) ** 2)))
    return total


def assert_defined(vectors: npt.NDArray[np.float32], words: npt.NDArray[np.float32]) -> None:
    """`vectors` (n, Ds), `words` (Ks, Ds): the least distance, and the lowest index among equal ones."""
    expected = [int(np.argmin([distance(x, word) for word in words])) for x in vectors]
    for name in available():
        codes = get(name).encode(vectors, words[None])[:, 0]
        np.testing.assert_array_equal(codes, expected, err_msg=f"kernels {name}, vectors {vectors!r}, words {words!r}")


# Every finite float32, denormal numbers too; mostly of the magnitudes between which the arithmetic changes its ways.
NUMBERS = st.one_of(
    st.floats(width=32, allow_nan=False, allow_infinity=False),
    st.builds(
        lambda digits, exponent: float(np.ldexp(np.float32(digits), exponent)),
        st.floats(-1, 1, width=32),
        st.sampled_from([-148, -126, -75, -60, -27, -24, 0, 24, 27, 53, 60, 100, 127]),
    ),
)


@st.composite
def matrices(draw: st.DrawFn) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    Ds, Ks, n = draw(st.integers(1, 4)), draw(st.integers(1, 5)), draw(st.integers(1, 10))

    def matrix(rows: int) -> npt.NDArray[np.float32]:
        pool = draw(st.lists(NUMBERS, min_size=1, max_size=6))  # few numbers: ties, and codewords twice
        places = draw(st.lists(st.integers(0, len(pool) - 1), min_size=rows * Ds, max_size=rows * Ds))
        return np.array([pool[place] for place in places], dtype=np.float32).reshape(rows, Ds)

    return matrix(n), matrix(Ks)


@settings(max_examples=300, deadline=None)
@given(matrices())
def test_any_vectors_and_codewords(case: tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]) -> None:
    assert_defined(*case)


@pytest.mark.parametrize("n", [1, 20])
def test_codewords_too_small_to_tell_apart_tie(n: int) -> None:
    # Scores in float32 told them apart where the distances, in float64, are equal: NumPy gave 1, compiled kernels 0.
    vectors = np.full((n, 1), 2.0**40, dtype=np.float32)
    words = np.array([[1e-7], [2e-7], [-1e-7]], dtype=np.float32)
    assert_defined(vectors, words)
    assert [get(name).encode(vectors, words[None]).max() for name in available()] == [0] * len(available())


@pytest.mark.parametrize("exponent", [-74, -70, -64, 62, 63, 64])
@pytest.mark.parametrize("offset", [0.0, 1.0, 2.0**20, 2.0**60])
def test_squares_that_leave_the_range_of_float32(exponent: int, offset: float) -> None:
    rng = np.random.default_rng(abs(exponent))
    words, vectors = (
        (np.ldexp(rng.standard_normal((rows, 3)), exponent) + offset).astype(np.float32) for rows in (9, 40)
    )
    assert_defined(vectors, words)


@pytest.mark.parametrize("gap", [20, 26, 27, 28, 30, 40, 52, 54, 60])
def test_vectors_far_larger_than_codewords(gap: int) -> None:
    rng = np.random.default_rng(gap)
    words = rng.standard_normal((17, 4)).astype(np.float32)
    vectors = np.ldexp(rng.standard_normal((30, 4)), gap).astype(np.float32)
    assert_defined(vectors, words)
