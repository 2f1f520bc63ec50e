"""Saved sets of ids: what searches make of them, and how long they last."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pqstore
from pqstore.storage import Limits
from pqstore.storage.transactions.open_index import share

N = 900


@pytest.fixture(params=["int64", "str"])
def index(request: pytest.FixtureRequest, tmp_path: Path, small_pq: pqstore.PQ) -> pqstore.Index:
    made = pqstore.Index.create(tmp_path / "index", small_pq, id_type=request.param)
    made.add(vectors(), names(made, range(N)))
    return made


def vectors() -> np.ndarray:
    return np.random.default_rng(1).standard_normal((N, 8)).astype(np.float32)


def names(index: pqstore.Index, numbers: Any) -> list:
    return [number if index.id_type == "int64" else f"näme {number}" for number in numbers]


def test_allow_and_deny(index: pqstore.Index) -> None:
    chosen = names(index, range(5, 300, 7))
    assert index.save_set("mine", [*chosen, chosen[0], *names(index, [5000])]) == len(chosen) + 1
    assert index.sets == {"mine": len(chosen) + 1}
    assert index.saved_set("mine").tolist() == sorted([*chosen, *names(index, [5000])])
    for _ in range(2):
        found = index.search(vectors()[:4], k=30, allow="mine")
        np.testing.assert_array_equal(found.ids, index.search(vectors()[:4], k=30, allow=chosen).ids)
        found = index.search(vectors()[:4], k=30, deny="mine")
        np.testing.assert_array_equal(found.ids, index.search(vectors()[:4], k=30, deny=chosen).ids)
    assert index.count(allow="mine") == len(chosen)
    assert index.count(allow="mine", deny="mine") == 0
    index.save_set("some", pqstore.IdSet(chosen[:3]))
    assert index.count(allow="mine", deny="some") == len(chosen) - 3
    assert set(index.range_search(vectors()[0], np.inf, allow="some").ids.tolist()) == set(chosen[:3])


def test_a_set_names_ids(index: pqstore.Index) -> None:
    index.save_set("later", names(index, [3, 2000]))
    assert index.count(allow="later") == 1
    index.remove(names(index, [3]))
    assert index.count(allow="later") == 0
    index.add(vectors()[:2], names(index, [2000, 3]))
    assert index.count(allow="later") == 2


def test_sets_last(index: pqstore.Index, tmp_path: Path) -> None:
    chosen = sorted(names(index, range(0, N, 3)))
    index.save_set("a", chosen)
    index.save_set("b", chosen[:1])
    with index.snapshot() as before:
        index.save_set("a", chosen[:10])
        index.drop_set("b")
        assert index.sets == {"a": 10}
        assert before.sets == {"a": len(chosen), "b": 1}
        assert before.saved_set("a").tolist() == chosen
        assert before.count(allow="b") == 1
        with pytest.raises(pqstore.UnknownSetError, match="'b' \\(sets: 'a'\\)"):
            index.search(vectors()[0], allow="b")
    index.compact()
    index.backup(tmp_path / "copy")
    path = index.path
    index.close()
    for opened in (path, tmp_path / "copy"):
        with pqstore.Index.open(opened, readonly=True) as again:
            assert again.sets == {"a": 10}
            assert again.saved_set("a").tolist() == chosen[:10]
            assert again.verify(deep=True) == []
            with pytest.raises(pqstore.ReadOnlyError):
                again.save_set("c", chosen)
    report = pqstore.Index.repair(path, tmp_path / "repaired")
    assert report.losses == []
    with pqstore.Index.open(tmp_path / "repaired") as again:
        assert again.saved_set("a").tolist() == chosen[:10]


def test_chunks(index: pqstore.Index) -> None:
    index.close()
    first = share(Path(index.path), limits=Limits(set_chunk_ids=64))
    index = pqstore.Index.open(index.path)
    for count in (0, 1, 63, 64, 65, 640):
        chosen = sorted(names(index, range(0, 2 * count, 2)))
        assert index.save_set("set", chosen) == count
        assert index.saved_set("set").tolist() == chosen
        assert index.verify(deep=True) == []
        assert index.count(allow="set") == min(count, N // 2)
    index.drop_set("set")
    assert index.verify(deep=True) == []
    assert index.sets == {}
    index.close()
    first.release()


def test_bad_sets(index: pqstore.Index) -> None:
    good = names(index, [1, 2])
    for name, error in (
        (5, TypeError),
        ("", ValueError),
        ("x" * 513, ValueError),
        ("\ud800", ValueError),
        (None, TypeError),
    ):
        for call in (lambda: index.save_set(name, good), lambda: index.saved_set(name), lambda: index.drop_set(name)):  # noqa: B023
            with pytest.raises(error, match="name of a set"):
                call()
    for ids in ([1.5], [None], "1", [object()], 7.5, [*names(index, [1]), b"x"]):
        with pytest.raises(pqstore.InvalidIdError):
            index.save_set("set", ids)
    for call in (lambda: index.saved_set("no"), lambda: index.drop_set("no"), lambda: index.count(deny="no")):
        with pytest.raises(pqstore.UnknownSetError, match="'no' \\(sets: none\\)"):
            call()
    assert index.sets == {}
    with pytest.raises(KeyError):
        index.search(vectors()[0], allow="no")


def test_delete_takes_ids_not_names(index: pqstore.Index) -> None:
    (one,) = names(index, [4])
    if index.id_type == "int64":
        with pytest.raises(pqstore.InvalidIdError):
            index.delete(ids="4")
        return
    assert index.delete(ids=one) == 1
    assert one not in index
