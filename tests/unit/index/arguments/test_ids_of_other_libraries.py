"""Ids as other libraries give them: arrays are taken, a single one without an axis is told, a set has no order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import pqstore
from pqstore import InvalidIdError
from pqstore.index.arguments.ids import as_id_batch


class Tensor:
    """As a tensor: it iterates over tensors without an axis."""

    def __init__(self, array: Any) -> None:
        self._array = np.asarray(array)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self._array

    def __iter__(self) -> Any:
        if self._array.ndim == 0:
            raise TypeError("iteration over a 0-d tensor")
        return map(Tensor, self._array)


class DlpackTensor:
    def __init__(self, array: Any) -> None:
        self._array = np.asarray(array)

    def __dlpack__(self, **named: Any) -> Any:
        return self._array.__dlpack__()

    def __dlpack_device__(self) -> tuple[int, int]:
        return self._array.__dlpack_device__()


@pytest.fixture
def index(tmp_path) -> Any:
    vectors = np.random.default_rng(1).random((40, 4), dtype=np.float32)
    pq = pqstore.PQ(M=2, Ks=8, verbose=False).fit(vectors, iter=2)
    with pqstore.Index.create(tmp_path / "i", pq) as made:
        made.add(vectors[:3], [5, 7, 9], payloads=[{"n": n} for n in range(3)])
        yield made


@pytest.mark.parametrize("kind", [Tensor, DlpackTensor])
def test_tensors(kind: Callable[[Any], Any], index: pqstore.Index) -> None:
    index.add(np.ones((2, 4)), kind([1, 2]))
    assert [record.id for record in index.get(kind([9, 1]))] == [9, 1]
    assert index.remove(kind([5, 2])) == 2
    assert sorted(index) == [1, 7, 9]
    index.save_set("s", kind([7, 1]))
    assert index.saved_set("s").tolist() == [1, 7]
    assert index.search(np.ones(4), k=5, allow=kind([9])).ids.tolist() == [9, -1, -1, -1, -1]


@pytest.mark.parametrize(
    ("library", "make"),
    [
        ("pyarrow", lambda pa: pa.array([3, 4])),
        ("pyarrow", lambda pa: pa.chunked_array([[3], [4]])),
        ("pandas", lambda pd: pd.Series([3, 4])),
        ("pandas", lambda pd: pd.Series([3, 4], dtype="Int64")),
        ("pandas", lambda pd: pd.Index([3, 4])),
        ("polars", lambda pl: pl.Series([3, 4])),
    ],
)
def test_columns_of_numbers(library: str, make: Callable[[Any], Any]) -> None:
    assert as_id_batch(make(pytest.importorskip(library)), "int64").tolist() == [3, 4]


@pytest.mark.parametrize(
    ("library", "make"),
    [
        ("pyarrow", lambda pa: pa.array(["a", "b"])),
        ("pyarrow", lambda pa: pa.array(["a", "b"]).dictionary_encode()),
        ("pandas", lambda pd: pd.Series(["a", "b"])),
        ("pandas", lambda pd: pd.Series(["a", "b"], dtype="category")),
        ("polars", lambda pl: pl.Series(["a", "b"])),
    ],
)
def test_columns_of_strings(library: str, make: Callable[[Any], Any]) -> None:
    batch = as_id_batch(make(pytest.importorskip(library)), "str")
    assert batch.tolist() == ["a", "b"]
    assert {type(value) for value in batch.tolist()} == {str}


@pytest.mark.parametrize("kind", [Tensor, DlpackTensor])
def test_one_without_an_axis_is_told(kind: Callable[[Any], Any], index: pqstore.Index) -> None:
    for call in (index.get, index.remove, index.codes, index.reconstruct):
        with pytest.raises(InvalidIdError, match=r"Tensor without an axis: give \.item\(\)"):
            call(kind(5))
    assert index.get(np.array(5)).id == 5, "NumPy's own is a single id"


def test_floats_and_missing_ones_are_told() -> None:
    for ids in (Tensor([1.0, 2.0]), Tensor([True]), Tensor(np.array([1, None], dtype=object))):
        with pytest.raises(InvalidIdError, match="int64 ids, got"):
            as_id_batch(ids, "int64")


def test_an_array_that_cannot_be_read_is_told() -> None:
    class Far(Tensor):
        def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
            raise TypeError("on another device")

    with pytest.raises(InvalidIdError, match=r"on another device.*: give a list"):
        as_id_batch(Far([1]), "int64")


@pytest.mark.parametrize("kind", [set, frozenset])
def test_a_set_is_refused_where_ids_line_up_with_something(kind: type, index: pqstore.Index) -> None:
    ids = kind([1, 2])
    calls: list[Callable[[], Any]] = [
        lambda: index.add(np.ones((2, 4)), ids),
        lambda: index.add(iter([np.ones((2, 4))]), ids),
        lambda: index.upsert(np.ones((2, 4)), ids),
        lambda: index.add_codes(np.ones((2, 2), dtype=np.uint8), ids),
        lambda: index.update_payload(ids, [{"a": 1}, {"a": 2}]),
        lambda: index.codes(ids),
        lambda: index.reconstruct(ids),
    ]
    for call in calls:
        with pytest.raises(InvalidIdError, match="has no order: give a list"):
            call()
    assert sorted(index) == [5, 7, 9]


def test_a_set_is_taken_where_its_order_means_nothing(index: pqstore.Index) -> None:
    assert index.update_payload({5, 7}, {"seen": True}) == 2
    assert index.count({"seen": True}) == 2
    assert index.save_set("s", {9, 5}) == 2
    assert {record.id for record in index.get({5, 9})} == {5, 9}
    assert index.remove({5, 7}) == 2
