"""What people type first, and what they mix up: the error says what was meant, and nothing is changed."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest

import pqstore
from pqstore.index.snapshot_view import SnapshotView

X = np.random.default_rng(0).standard_normal((5, 8)).astype(np.float32)


@pytest.fixture
def index(tmp_path: Path, small_pq: pqstore.PQ) -> Iterator[pqstore.Index]:
    """Five vectors, one under the id "lang", which every test leaves there."""
    with pqstore.Index.create(tmp_path / "index", small_pq, id_type="str", originals="float16") as index:
        index.add(X, ids=["a", "b", "c", "d", "lang"], payloads=[{"lang": "fr"}] * 5)
        yield index
        assert list(index) == ["a", "b", "c", "d", "lang"]
        assert all(record.payload == {"lang": "fr"} for record in index.get(list(index)))


@pytest.mark.parametrize("arguments", [("x.pqs",), (Path("x.pqs"),), ("x.pqs", None), ("x.pqs", 4, "l2")])
def test_an_index_is_opened_or_created(arguments: tuple) -> None:
    expected = r"use Index.open\('x.pqs'\) for an index that is there, or Index.create\('x.pqs', quantizer\)"
    with pytest.raises(TypeError, match=expected):
        pqstore.Index(*arguments)
    with pytest.raises(TypeError, match=r"use Index.open\(path\)"):
        pqstore.Index()
    with pytest.raises(TypeError, match=r"use Index.open\(path\)"):
        pqstore.Index(path="x.pqs")


SWAPPED = {
    r"Index.create\(path, quantizer\)": lambda index: pqstore.Index.create(index.quantizer, "x.pqs"),
    "a path is a str or a Path, got PQ": lambda index: pqstore.Index.open(index.quantizer),
    "vectors come first, then ids": lambda index: index.add(["a", "b"], X[:2]),
    "vectors come before ids": lambda index: index.add(X[0], X[:2]),
    r"search\(queries, k\)": lambda index: index.search(10, X[0]),
    r"range_search\(queries, radius\)": lambda index: index.range_search(1.0, X[0]),
    r"save_set\(name, ids\)": lambda index: index.save_set(["a", "b"], "name"),
    "ids are a sequence of ids, got a dict": lambda index: index.update_payload({"lang": "de"}, "a"),
    r"remove\(ids\)": lambda index: index.delete(["a", "b"]),
    "readonly must be True or False, got 'w'": lambda index: pqstore.Index.open(index.path, "w"),
}


@pytest.mark.parametrize("says", SWAPPED)
def test_swapped_arguments(index: pqstore.Index, says: str) -> None:
    with pytest.raises((TypeError, ValueError), match=says):
        SWAPPED[says](index)


TAKES_IDS: list[Callable[[pqstore.Index, object], object]] = [
    lambda index, ids: index.remove(ids),
    lambda index, ids: index.delete(ids=ids),
    lambda index, ids: index.get(ids),
    lambda index, ids: index.codes(ids),
    lambda index, ids: index.reconstruct(ids),
    lambda index, ids: index.update_payload(ids, {"lang": "de"}),
    lambda index, ids: index.save_set("name", ids),
    lambda index, ids: index.search(X[0], allow=ids),
    lambda index, ids: index.search(X[0], deny=ids),
    lambda index, ids: index.count(allow=ids),
    lambda index, ids: index.add(X[:1], ids),
    lambda index, ids: index.add(iter([X[:1]]), ids),
    lambda index, ids: index.upsert(X[:1], ids),
    lambda index, ids: pqstore.IdSet(ids),
]


@pytest.mark.parametrize("number", range(len(TAKES_IDS)))
@pytest.mark.parametrize("ids", [{"lang": "fr"}, {}, MappingProxyType({"a": 1})], ids=repr)
def test_the_keys_of_a_map_are_no_ids(index: pqstore.Index, number: int, ids: object) -> None:
    with pytest.raises(pqstore.InvalidIdError, match=r"delete\(where=\.\.\.\)"):
        TAKES_IDS[number](index, ids)
    assert {"lang": "fr"} not in index


class Name(str, enum.Enum):
    A = "a"


def test_an_enum_is_the_id_that_it_equals(index: pqstore.Index) -> None:
    assert index.get(Name.A).id == "a"
    with pytest.raises(pqstore.DuplicateIdError):
        index.add(X[:1], [Name.A])


@pytest.mark.parametrize("radius", [10**400, 1e39, np.float64(1e39), np.inf, 3.5e38])
@pytest.mark.parametrize("rerank", [None, 5])
def test_a_radius_beyond_all_distances(index: pqstore.Index, radius: float, rerank: int | None) -> None:
    assert set(index.range_search(X[0], radius, rerank=rerank).ids) == set(index)
    assert len(index.range_search(X[0], -radius, rerank=rerank).ids) == 0


@pytest.mark.parametrize("radius", [b"1", 1j, True, np.bool_(True), np.datetime64("2020"), [1.0], None])
def test_no_radius(index: pqstore.Index, radius: object) -> None:
    with pytest.raises(TypeError, match="radius must be a number"):
        index.range_search(X[0], radius)


QUESTIONS: dict[str, Callable[[SnapshotView], object]] = {
    "__len__": len,
    "__contains__": lambda view: ("a" in view, 3.5 in view),
    "__iter__": list,
    "calibration": lambda view: view.calibration(X, 0.9, 1, None),
    "codes": lambda view: view.codes([]),
    "count": lambda view: view.count(),
    "field_kinds": lambda view: view.field_kinds(),
    "field_range": lambda view: view.field_range("n"),
    "field_values": lambda view: view.field_values("n"),
    "get": lambda view: view.get([]),
    "iter_codes": lambda view: list(view.iter_codes()),
    "range_search": lambda view: view.range_search(X[0], 1.0),
    "reading": lambda view: view.reading().__enter__(),
    "recall_report": lambda view: view.recall_report(X),
    "reconstruct": lambda view: view.reconstruct([]),
    "saved_set": lambda view: view.saved_set("none"),
    "scroll": lambda view: view.scroll(),
    "search": lambda view: view.search(X[:0]),
    "sets": lambda view: view.sets,
}


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_closed_snapshot_answers_nothing(index: pqstore.Index, name: str) -> None:
    view = index.snapshot()
    view.close()
    view.close()
    with pytest.raises(pqstore.IndexClosedError):
        QUESTIONS[name](view)


def test_no_question_is_left_out() -> None:
    names = {name for name in vars(SnapshotView) if not name.startswith("_")}
    assert names | {"__len__", "__contains__", "__iter__"} == {*QUESTIONS, "close"}
