"""Vectors that cannot be meant are refused, whole batches at a time; others are taken in any type."""

from __future__ import annotations

import numpy as np
import pytest

import pqstore
from tests.unit.index.contents import GOOD


def spoilt(value: float) -> np.ndarray:
    vectors = np.tile(GOOD, (20, 1))
    vectors[97, 3] = value
    return vectors


@pytest.mark.parametrize(
    ("vectors", "error"),
    [
        (np.zeros((2, 9)), pqstore.DimensionError),
        (np.zeros((2, 7)), pqstore.DimensionError),
        (np.zeros(9), pqstore.DimensionError),
        (np.float32(1), pqstore.DimensionError),
        (np.zeros((2, 2, 8)), pqstore.DimensionError),
        (spoilt(np.nan), pqstore.InvalidVectorError),
        (spoilt(-np.inf), pqstore.InvalidVectorError),
        (np.full((1, 8), 1e39), pqstore.InvalidVectorError),
        (np.full((1, 8), 10**400, dtype=object), pqstore.InvalidVectorError),
        (np.zeros((2, 8), dtype=complex), pqstore.InvalidVectorError),
        (np.full((2, 8), "1"), pqstore.InvalidVectorError),
        ([[1.0] * 8, [1.0] * 7], (pqstore.DimensionError, pqstore.InvalidVectorError)),
        (None, (pqstore.DimensionError, pqstore.InvalidVectorError)),
    ],
)
def test_vectors_that_cannot_be_meant(index: pqstore.Index, vectors, error) -> None:
    with pytest.raises(error):
        index.add(vectors)
    with pytest.raises(error):
        index.search(vectors)


HALF = np.arange(5) > 2
MASKED = np.ma.masked_array(GOOD, mask=np.repeat(HALF[:, None], 8, axis=1))


@pytest.mark.parametrize(
    "add",
    [
        lambda index: index.add(MASKED),
        lambda index: index.add(list(MASKED)),
        lambda index: index.add(iter([GOOD[:2], MASKED])),
        lambda index: index.upsert(MASKED, range(5)),
        lambda index: index.add(GOOD, np.ma.masked_array(range(5), mask=HALF)),
        lambda index: index.add_codes(np.ma.masked_array(index.quantizer.encode(GOOD), mask=MASKED.mask[:, :4])),
        lambda index: index.add_codes(list(np.ma.masked_array(index.quantizer.encode(GOOD), mask=MASKED.mask[:, :4]))),
        lambda index: index.search(MASKED),
    ],
)
def test_masked_values_are_refused(index: pqstore.Index, add) -> None:
    """They were stored as what lay under the mask; searches refused them."""
    with pytest.raises((pqstore.InvalidVectorError, pqstore.InvalidIdError, pqstore.InvalidCodeError), match="masked"):
        add(index)


def test_codes_of_different_lengths(index: pqstore.Index) -> None:
    with pytest.raises(pqstore.DimensionError, match="different lengths"):
        index.add_codes([[1, 2, 3, 4], [1]])


@pytest.mark.parametrize(
    "vectors",
    [
        GOOD.tolist(),
        GOOD.astype(np.float64),
        GOOD.astype(">f4"),
        np.asfortranarray(GOOD),
        np.repeat(GOOD, 2, axis=1)[:, ::2],
        np.frombuffer(GOOD.tobytes(), dtype=np.float32).reshape(5, 8),
        np.ma.masked_array(GOOD),
        GOOD[0],
    ],
    ids=["list", "float64", "big-endian", "fortran", "strided", "read-only", "no mask", "one"],
)
def test_vectors_of_other_kinds_are_taken(index: pqstore.Index, vectors) -> None:
    ids = index.add(vectors)
    expected = index.quantizer.encode(np.atleast_2d(np.asarray(vectors, dtype=np.float32)))
    np.testing.assert_array_equal(index.codes(ids), expected)
    assert index.search(vectors, k=1).ids.size == len(ids)
    index.remove(ids)


@pytest.mark.parametrize("dtype", [np.float16, np.int8, np.uint8, np.int64])
def test_integers_and_halves_are_taken(index: pqstore.Index, dtype) -> None:
    vectors = (GOOD * 3).astype(dtype)
    np.testing.assert_array_equal(
        index.search(vectors, k=3).distances, index.search(vectors.astype(np.float32), k=3).distances
    )


@pytest.mark.parametrize("nothing", [np.empty((0, 8)), [], np.empty((0, 8), dtype=np.uint8)])
def test_an_empty_batch_is_a_no_op(index: pqstore.Index, nothing) -> None:
    assert index.add(nothing).shape == (0,)
    assert index.add(nothing, ids=[]).dtype == np.int64
    assert index.remove([]) == 0
    assert index.add_codes(np.empty((0, 4), dtype=np.uint8)).shape == (0,)


@pytest.mark.parametrize(
    ("codes", "error"),
    [
        (np.full((1, 4), 32, dtype=np.uint8), pqstore.InvalidCodeError),
        (np.full((1, 4), -1), pqstore.InvalidCodeError),
        (np.zeros((1, 5), dtype=np.uint8), pqstore.DimensionError),
        (np.zeros((1, 4, 1), dtype=np.uint8), pqstore.DimensionError),
        (np.zeros((1, 4)), pqstore.InvalidCodeError),
    ],
)
def test_codes_that_cannot_be_meant(index: pqstore.Index, codes, error) -> None:
    with pytest.raises(error):
        index.add_codes(codes)
