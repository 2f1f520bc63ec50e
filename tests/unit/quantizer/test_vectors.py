"""Vectors at the public door: what is accepted, what is refused and in which words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pqstore.errors import DimensionError, InvalidVectorError
from pqstore.quantizer import PQ, as_queries, as_rows, as_vectors, vector_blocks
from pqstore.quantizer.vectors import block_rows, unit_rows

WANTED = np.array([[1, 2, 3], [4, 5, 6]], dtype=np.float32)


@pytest.mark.parametrize(
    "given_as",
    [
        WANTED.tolist(),
        tuple(map(tuple, WANTED.tolist())),
        *(WANTED.astype(dtype) for dtype in ("f2", "f4", "f8", ">f4", ">f8", "g", "i1", "u1", "i8", "u8", ">i4")),
        np.asfortranarray(WANTED),
        np.repeat(WANTED, 2, axis=1)[:, ::2],
        WANTED[::-1, ::-1][::-1, ::-1],
        np.ma.masked_array(WANTED),
    ],
    ids=lambda x: f"{type(x).__name__}-{getattr(x, 'dtype', '')}",
)
def test_real_numbers_of_any_form_become_contiguous_float32(given_as: object) -> None:
    vectors = as_vectors(given_as, 3)
    assert vectors.dtype == np.float32
    assert vectors.dtype.isnative
    assert vectors.flags.c_contiguous
    np.testing.assert_array_equal(vectors, WANTED)


def test_fitting_arrays_are_not_copied_even_read_only_ones() -> None:
    x = WANTED.copy()
    x.setflags(write=False)
    assert np.shares_memory(as_vectors(x, 3), x)


@pytest.mark.parametrize("nothing", [[], np.empty(0), np.empty((0, 3)), np.empty((0, 3), dtype=np.uint8)])
def test_an_empty_batch_is_no_error(nothing: object) -> None:
    assert as_vectors(nothing, 3).shape == (0, 3)


@pytest.mark.parametrize("shape", [(), (3,), (2, 4), (0, 4), (2, 3, 1), (2, 0)])
def test_shapes_that_cannot_be_meant_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(DimensionError, match="the batch must have"):
        as_vectors(np.zeros(shape), 3, "the batch")


def test_a_single_vector_is_told_how_to_become_a_batch() -> None:
    with pytest.raises(DimensionError, match=r"v\[None, :\]"):
        as_vectors(np.zeros(3), 3)


def test_rows_of_different_lengths_are_refused() -> None:
    with pytest.raises(DimensionError, match="different lengths"):
        as_vectors([[1, 2, 3], [1, 2]], 3)


@pytest.mark.parametrize(
    "x",
    [
        np.zeros((2, 3), dtype=complex),
        np.zeros((2, 3), dtype=object),
        np.full((2, 3), "1.0"),
        np.zeros((2, 3), dtype="M8[s]"),
        [[1, 2, 10**30]],
        [[1, 2, None]],
        np.zeros((2, 3), dtype=[("a", "f4")]),
    ],
    ids=["complex", "object", "str", "datetime", "huge int", "None", "record"],
)
def test_what_is_no_real_number_is_refused(x: object) -> None:
    with pytest.raises(InvalidVectorError, match="real numbers"):
        as_vectors(x, 3)


def test_masked_values_are_refused() -> None:
    with pytest.raises(InvalidVectorError, match="masked"):
        as_vectors(np.ma.masked_array(WANTED, mask=[[0, 0, 1], [0, 0, 0]]), 3)


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ">f4"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("row", [0, 17, 49])
def test_nan_and_infinity_are_found_anywhere(dtype: str, bad: float, row: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pqstore.quantizer.vectors._BLOCK_VALUES", 40)
    x = np.zeros((50, 4), dtype=dtype)
    x[row, 2] = bad
    with pytest.raises(InvalidVectorError, match=f"row {row}, column 2 is not a finite"):
        as_vectors(x, 4)


@pytest.mark.parametrize("value", [1e39, -3.5e38])
def test_values_beyond_float32_are_refused_without_a_warning(value: float) -> None:
    with pytest.raises(InvalidVectorError, match="beyond the range of float32"):
        as_vectors([[0.0, value]], 2)


def test_the_largest_float32_is_accepted() -> None:
    largest = float(np.finfo(np.float32).max)
    assert as_vectors([[largest, -largest]], 2)[0, 0] == np.float32(largest)


@given(
    hnp.arrays(
        st.sampled_from(["f2", "f4", "f8", "i2", "u1", "i8"]), hnp.array_shapes(min_dims=2, max_dims=2, max_side=20)
    )
)
def test_conversion_is_that_of_numpy_or_an_error(x: np.ndarray) -> None:
    with np.errstate(over="ignore"):
        plain = x.astype(np.float32)
    if np.isfinite(plain).all():
        np.testing.assert_array_equal(as_vectors(x), plain)
    else:
        with pytest.raises(InvalidVectorError):
            as_vectors(x)


def test_blocks_cover_the_rows_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pqstore.quantizer.vectors._BLOCK_VALUES", 30)
    rows = as_rows(np.arange(92).reshape(23, 4))
    blocks = list(vector_blocks(rows))
    assert [first for first, _ in blocks] == [0, 7, 14, 21]
    np.testing.assert_array_equal(np.concatenate([block for _, block in blocks]), rows)


def test_a_row_wider_than_a_block_is_a_block() -> None:
    assert block_rows(1 << 40) == 1


def test_queries_single_and_several() -> None:
    one, single = as_queries([1, 2, 3], 3)
    assert (one.shape, single) == ((1, 3), True)
    several, single = as_queries(WANTED, 3)
    assert (several.shape, single) == ((2, 3), False)
    for shape in [(2,), (), (1, 1, 3), (2, 4)]:
        with pytest.raises(DimensionError, match="queries"):
            as_queries(np.zeros(shape), 3)


def test_unit_rows_have_length_one_at_any_scale() -> None:
    directions = np.random.default_rng(0).standard_normal((5, 8))
    scaled = (directions * np.array([1e-38, 1e-20, 1, 1e20, 1e37])[:, None]).astype(np.float32)
    np.testing.assert_allclose(np.linalg.norm(unit_rows(scaled).astype(np.float64), axis=1), 1, rtol=1e-6)


def test_a_zero_row_has_no_direction() -> None:
    with pytest.raises(InvalidVectorError, match="row 101 is zero"):
        unit_rows(np.array([[1, 0], [0, 0]], dtype=np.float32), first=100)


def test_a_mapped_file_is_encoded_in_blocks(tmp_path: Path) -> None:
    """A mapped array of any size is read block by block: peak memory is far below the size of the file."""
    tracemalloc = pytest.importorskip("tracemalloc")
    mapped = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", np.float64, (400_000, 32))
    mapped[:] = np.random.default_rng(0).random((1, 32))
    mapped[1::2] += 1
    mapped.flush()
    pq = PQ(2, 2, verbose=False).fit(mapped, iter=1, max_training_rows=100)
    source = np.load(tmp_path / "x.npy", mmap_mode="r")
    tracemalloc.start()
    try:
        codes = pq.encode(source)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(codes) == 400_000
    assert peak < mapped.nbytes * 0.8
