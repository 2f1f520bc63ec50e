"""Which rows an answer may hold: filters and sets of ids, and both as rows come and go."""

from __future__ import annotations

import numpy as np

import pqstore
from tests.unit.index.contents import N, payload, vectors


def test_a_filter_that_allows_nothing(filled) -> None:
    for restriction in ({"where": {"n": -5}}, {"allow": []}, {"allow": [10**9]}, {"where": {"n": {"$in": []}}}):
        ids, distances = filled.search(vectors()[:2], k=4, rerank=50, **restriction)
        assert (ids == -1).all()
        assert np.isinf(distances).all()
        found = filled.range_search(vectors()[0], 100.0, **restriction)
        assert len(found.ids) == len(found.distances) == 0
        assert filled.count(**restriction) == 0
    assert filled.scroll({"n": -5}) == ([], None)


def test_id_sets(filled) -> None:
    chosen = pqstore.IdSet(np.arange(0, 100))
    for _ in range(2):
        found = filled.search(vectors()[:3], k=5, allow=chosen, where={"word": "odd"})
        np.testing.assert_array_equal(
            found.ids, filled.search(vectors()[:3], k=5, allow=range(100), where={"word": "odd"}).ids
        )
        assert filled.count(deny=chosen) == N - 100
    assert len(chosen) == 100


def test_filters_follow_changes(tmp_path, small_pq) -> None:
    with pqstore.Index.create(tmp_path / "index", small_pq, fields=["n"]) as filled:
        assert filled.count({"n": 1}) == 0
        filled.add(vectors(), payloads=[payload(n) for n in range(N)])
        before = filled.count({"n": 1})
        with filled.snapshot() as view:
            gone = filled.delete({"n": 1}, ids=range(0, N, 2))
            assert filled.count({"n": 1}) == before - gone
            assert view.count({"n": 1}) == before
        assert filled.update_payload([2, 4], {"n": 1, "new": True}) == 2
        assert filled.count({"n": 1}) == before - gone + 2
        assert filled.get(2).payload == {**payload(2), "n": 1, "new": True}
        filled.update_payload(4, None)
        assert filled.get(4).payload is None
        filled.upsert(vectors()[:1], [2])
        assert filled.get(2).payload is None
        assert filled.count({"n": 1}) == before - gone
