"""Groups and diversity, against a ranking of all rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pqstore
from pqstore.index.search.diversity import diverse

N, D = 400, 8
RNG = np.random.default_rng(11)
X = RNG.integers(0, 6, (N, D)).astype(np.float32)
Q = RNG.integers(0, 6, (5, D)).astype(np.float32)
GROUPS: list[Any] = [0, 1, 1.0, 2, "2", True, None, "a", "b", ["a"], {"m": 1}, *range(10, 40)]
OF = [GROUPS[g] for g in RNG.integers(0, len(GROUPS), N)]
PAYLOADS = [{"doc": OF[n], "n": n} if n % 11 else None for n in range(N)]


@pytest.fixture(scope="module", params=["exact", "codes", "reranked", "indexed", "lists"])
def index(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    pq = None if request.param == "exact" else pqstore.PQ(M=4, Ks=16, verbose=False).fit(X)
    fields = ["doc"] if request.param == "indexed" else []
    path = tmp_path_factory.mktemp("variety") / "index"
    originals = None if request.param in ("codes", "lists") else "float32"
    with pqstore.Index.create(path, pq, dim=D, originals=originals, train="manual", fields=fields) as made:
        made.add(X, payloads=PAYLOADS)
        if request.param == "lists":
            made.partition(8)
        yield made


def group_of(id: int) -> Any:
    value = (PAYLOADS[id] or {}).get("doc", [])
    if isinstance(value, (list, dict)):
        return None
    return (isinstance(value, bool), isinstance(value, str), value)


def grouped(ids: list[int], k: int, per_group: int) -> list[int]:
    order: list = []
    for id in ids:
        if group_of(id) is not None and group_of(id) not in order:
            order.append(group_of(id))
    first = order[:k]
    taken: dict = {}
    found = []
    for id in ids:
        group = group_of(id)
        if group in first and taken.get(group, 0) < per_group:
            taken[group] = taken.get(group, 0) + 1
            found.append(id)
    return found


@pytest.mark.parametrize("where", [None, {"n": {"$gte": 100}}])
@pytest.mark.parametrize(("k", "per_group"), [(1, 1), (5, 1), (30, 1), (60, 1), (3, 2), (4, 5), (50, 300)])
def test_groups_are_those_of_a_ranking_of_all(index: pqstore.Index, k: int, per_group: int, where: Any) -> None:
    everything = index.search(Q, k=N, where=where, nprobe="all").ids.tolist()
    found = index.search(Q, k=k, where=where, group_by="doc", per_group=per_group, nprobe="all")
    assert found.ids.shape == (len(Q), k * per_group)
    for ids, ranking in zip(found.ids.tolist(), everything, strict=True):
        wanted = grouped([id for id in ranking if id >= 0], k, per_group)
        assert ids == wanted + [-1] * (k * per_group - len(wanted))
    one = index.search(Q[0], k=k, where=where, group_by="doc", per_group=per_group, nprobe="all")
    np.testing.assert_array_equal(one.ids, found.ids[0])
    np.testing.assert_array_equal(one.distances, found.distances[0])


def test_groups_by_their_originals(index: pqstore.Index) -> None:
    if index.originals is None:
        pytest.skip("there are no originals")
    found = index.search(Q, k=4, group_by="doc", rerank=N, include="payload")
    exact = ((X[None] - Q[:, None]) ** 2).sum(axis=2)
    for q, ids in enumerate(found.ids.tolist()):
        ranking = sorted(range(N), key=lambda id: (exact[q, id], id))
        assert ids == grouped(ranking, 4, 1)
        assert [p["doc"] for p in found.payloads[q]] == [OF[id] for id in ids]
        np.testing.assert_array_equal(found.distances[q], exact[q, ids])


def test_distances_go_with_their_hits(index: pqstore.Index) -> None:
    all_ids, all_distances = index.search(Q[0], k=N, nprobe="all")
    distance_of = dict(zip(all_ids.tolist(), all_distances.tolist(), strict=True))
    for asked in ({"group_by": "doc"}, {"mmr": 0.3}):
        ids, distances = index.search(Q[0], k=5, nprobe="all", **asked)
        assert [distance_of[id] for id in ids.tolist()] == distances.tolist()


@pytest.mark.parametrize("weight", [0, 0.3, 0.5, 1])
def test_diversity_is_that_of_the_candidates(index: pqstore.Index, weight: float) -> None:
    nearest = index.search(Q, k=20, include="vector")
    found = index.search(Q, k=6, mmr=weight, candidates=20, include="vector")
    for q in range(len(Q)):
        places = diverse(Q[q], nearest.vectors[q], 6, weight)
        np.testing.assert_array_equal(found.ids[q], nearest.ids[q][places])
        np.testing.assert_array_equal(found.vectors[q], nearest.vectors[q][places])


def test_fewer_than_asked_for(tmp_path: Path) -> None:
    with pqstore.Index.create(tmp_path / "index", dim=D) as index:
        for asked in ({"mmr": 0.5}, {"group_by": "doc"}):
            assert index.search(Q[0], k=3, **asked).ids.tolist() == [-1, -1, -1]
        index.add(X[:2], payloads=[{"doc": 1}, {"doc": 2}])
        index.add([None], payloads=[{"doc": 3}])
        for asked in ({"mmr": 0.5}, {"group_by": "doc"}):
            result = index.search(Q[:2], k=4, **asked)
            assert sorted(result.ids[0].tolist()) == [-1, -1, 0, 1]
            assert np.isinf(result.distances[:, 2:]).all()


def test_what_cannot_be_meant(index: pqstore.Index) -> None:
    for asked, says in (
        ({"group_by": "doc", "mmr": 0.5}, "choose one"),
        ({"group_by": "$doc"}, "field"),
        ({"group_by": "doc", "per_group": 0}, "per_group"),
        ({"per_group": 2}, "group_by"),
        ({"candidates": 20}, "mmr"),
        ({"mmr": 1.5}, "mmr must be"),
        ({"mmr": float("nan")}, "mmr must be"),
        ({"mmr": 0.5, "candidates": 9}, "at least k"),
        ({"group_by": "doc", "per_group": 10**9}, "GB of results"),
    ):
        with pytest.raises(ValueError, match=says):
            index.search(Q[0], k=10, **asked)
    with pytest.raises(TypeError, match="mmr"):
        index.search(Q[0], mmr=True)


def test_in_snapshots_and_transactions(index: pqstore.Index) -> None:
    wanted = index.search(Q, k=4, group_by="doc").ids
    with index.snapshot() as view:
        np.testing.assert_array_equal(view.search(Q, k=4, group_by="doc").ids, wanted)
    with index.transaction() as txn:
        np.testing.assert_array_equal(txn.search(Q, k=4, group_by="doc").ids, wanted)
