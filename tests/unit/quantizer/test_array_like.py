"""Vectors as other libraries give them: what is real is taken, with the same values; what is not names the way out."""

from __future__ import annotations

import decimal
from typing import Any

import numpy as np
import pytest

import pqstore
from pqstore import DimensionError, InvalidVectorError
from pqstore.quantizer import as_real_array, as_vectors

X = np.arange(12, dtype=np.float32).reshape(4, 3) / 4


class OnlyArray:
    """As a tensor of a library that gives an array when asked."""

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return X if dtype is None else X.astype(dtype)


class OnlyDlpack:
    """As a tensor that speaks DLPack alone."""

    def __dlpack__(self, **named: Any) -> Any:
        return X.__dlpack__()

    def __dlpack_device__(self) -> tuple[int, int]:
        return X.__dlpack_device__()


class Refusing:
    """As a tensor with a gradient, or on a graphics card, or of a type that NumPy lacks."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        raise self.error

    def detach(self) -> Any: ...


def library(name: str) -> Any:
    return pytest.importorskip(name)


def of_rows(name: str) -> Any:
    """The same four vectors, as libraries keep them."""
    rows = X.tolist()
    kind, _, form = name.partition(" ")
    if kind == "pandas":
        pd = library("pandas")
        return {
            "column of arrays": lambda: pd.Series(list(X)),
            "column of lists": lambda: pd.Series(rows),
            "frame": lambda: pd.DataFrame(X),
            "frame with one column": lambda: pd.DataFrame({"v": list(X)}),
            "nullable frame": lambda: pd.DataFrame(X).astype("Float32"),
            "nullable integers": lambda: pd.DataFrame((X * 4).astype(int)).astype("Int64") / 4,
        }[form]()
    if kind == "polars":
        pl = library("polars")
        return {
            "column of lists": lambda: pl.Series(rows),
            "column of arrays": lambda: pl.Series(rows, dtype=pl.Array(pl.Float32, 3)),
            "frame": lambda: pl.DataFrame(X),
        }[form]()
    if kind == "pyarrow":
        pa = library("pyarrow")
        return {
            "lists": lambda: pa.array(rows),
            "large lists": lambda: pa.array(rows, pa.large_list(pa.float64())),
            "lists of fixed size": lambda: pa.array(rows, pa.list_(pa.float32(), 3)),
            "chunks": lambda: pa.chunked_array([pa.array(rows[:1]), pa.array(rows[1:])]),
            "tensors": lambda: pa.FixedShapeTensorArray.from_numpy_ndarray(X),
            "tensor": lambda: pa.Tensor.from_numpy(X),
        }[form]()
    return {
        "array": OnlyArray,
        "DLPack": OnlyDlpack,
        "a list of arrays": lambda: list(X),
    }[name]()


NAMES = [
    *(f"pandas {form}" for form in ("column of arrays", "column of lists", "frame", "frame with one column")),
    *(f"pandas {form}" for form in ("nullable frame", "nullable integers")),
    *(f"polars {form}" for form in ("column of lists", "column of arrays", "frame")),
    *(f"pyarrow {form}" for form in ("lists", "large lists", "lists of fixed size", "chunks", "tensors", "tensor")),
    *("array", "DLPack", "a list of arrays"),
]


@pytest.mark.parametrize("name", NAMES)
def test_what_is_real_is_taken(name: str) -> None:
    np.testing.assert_array_equal(as_vectors(of_rows(name)), X)


@pytest.mark.parametrize("name", ["bfloat16", "float8_e4m3fn", "float8_e5m2", "int4"])
def test_numbers_that_numpy_does_not_know_by_itself(name: str) -> None:
    dtype = np.dtype(getattr(library("ml_dtypes"), name))
    narrow = np.ones((4, 3)).cumsum(axis=1).astype(dtype)
    np.testing.assert_array_equal(as_vectors(narrow), narrow.astype(np.float32))
    assert as_vectors(list(narrow)).shape == (4, 3)


def test_an_index_takes_them_wherever_it_takes_vectors(tmp_path) -> None:
    rng = np.random.default_rng(5)
    vectors = rng.integers(0, 8, (200, 4)).astype(np.float32)
    column = np.empty(200, dtype=object)
    column[:] = list(vectors)
    pq = pqstore.PQ(M=2, Ks=8, verbose=False).fit(column, iter=2)
    with pqstore.Index.create(tmp_path / "i", pq, originals="float32") as index:
        index.add(column)
        index.add(OnlyDlpackOf(vectors))
        index.add(iter([column[:3], column[3]]))
        expected = index.search(vectors[:5], k=3)
        for queries in (column[:5], OnlyDlpackOf(vectors[:5])):
            np.testing.assert_array_equal(index.search(queries, k=3).ids, expected.ids)
        np.testing.assert_array_equal([r.vector for r in index.get(range(200))], vectors)
        np.testing.assert_array_equal([r.vector for r in index.get(range(400, 404))], vectors[:4])
    np.testing.assert_array_equal(pq.encode(column), pq.encode(vectors))


class OnlyDlpackOf(OnlyDlpack):
    def __init__(self, x: np.ndarray) -> None:
        self._x = x

    def __dlpack__(self, **named: Any) -> Any:
        return self._x.__dlpack__()


@pytest.mark.parametrize(
    "error",
    [
        TypeError("Got unsupported ScalarType BFloat16"),
        RuntimeError("Can't call numpy() on Tensor that requires grad."),
        TypeError("can't convert cuda:0 device type tensor to numpy."),
        ValueError("deleted"),
    ],
)
def test_a_tensor_that_refuses_names_the_call_that_helps(error: Exception) -> None:
    with pytest.raises(InvalidVectorError, match=r"Refusing .*\.detach\(\)\.cpu\(\)\.float\(\)\.numpy\(\)") as caught:
        as_vectors(Refusing(error))
    assert str(error).rstrip(".") in str(caught.value)


class Sparse:
    def toarray(self) -> np.ndarray:
        return X


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (Sparse(), r"toarray\(\)"),
        ({"a": 1}, "a dict cannot be read as an array"),
        ({1.0, 2.0}, "a set cannot"),
        (None, "NoneType"),
        (np.ones((2, 2), dtype=complex), "complex128"),
        (np.array(["2024-01-01"], dtype="M8[D]"), "datetime64"),
        (np.zeros((2, 3), dtype="V2"), "view the bytes"),
        (np.zeros(3, dtype=[("a", "f4")]), "dtype"),
        ([["1", "2"]], "<U1"),
        (np.array([[1.0, "2"]], dtype=object), "'2' .str. in row 0, column 1"),
        (np.array([[1.0, None]], dtype=object), "None .NoneType. in row 0, column 1 .*missing"),
        (np.array([[1.0, 2j]], dtype=object), "complex"),
        (np.ones((2, 2), dtype=object), r"real numbers .*call \.astype\(np\.float32\)"),
        ([[1, 2, 10**30]], "real numbers .*from list: call np.array"),
        ([[decimal.Decimal(1)]], "real numbers .*from list: call np.array"),
        (np.array([[1.0, 2.0], None], dtype=object), "row 1 is None"),
        (np.array([[1.0, 2.0], "ab"], dtype=object), "row 1 is 'ab'"),
    ],
)
def test_what_is_not_real_is_told(x: Any, words: str) -> None:
    with pytest.raises(InvalidVectorError, match=words):
        as_vectors(x)


def test_a_missing_value_of_pandas_is_told() -> None:
    pd = library("pandas")
    with pytest.raises(InvalidVectorError, match=r"<NA> \(NAType\) in row 1, column 0 of a DataFrame: fill or drop"):
        as_vectors(pd.DataFrame({"a": pd.array([1.5, None], dtype="Float32"), "b": [1.0, 2.0]}))


@pytest.mark.parametrize("rows", [[[1.0, 2.0], [3.0]], [np.ones(2), np.ones(3)], [np.ones((2, 2)), np.ones((2, 2))]])
def test_rows_of_different_lengths_or_axes(rows: Any) -> None:
    column = np.empty(2, dtype=object)
    column[:] = rows
    with pytest.raises(DimensionError, match=r"row [01]"):
        as_vectors(column)


def test_arrays_are_not_copied() -> None:
    assert as_real_array(X, "vectors") is X
    assert np.shares_memory(as_vectors(OnlyDlpack()), X)


def test_a_number_of_a_table_beyond_all_floats_is_told() -> None:
    pd = library("pandas")
    with pytest.raises(InvalidVectorError, match="beyond float32"):
        as_vectors(pd.DataFrame({"a": [10**400, 1], "b": [1, 2]}, dtype=object))
