"""Everything within a radius."""

from __future__ import annotations

import numpy as np
import pytest

import pqstore
from tests.unit.index.contents import N, vectors
from tests.unit.index.listed import small_segments


def test_range_search(filled) -> None:
    query = vectors()[:3]
    everything = filled.range_search(query, np.inf)
    assert [len(ids) for ids in everything.ids] == [N] * 3
    for q in range(3):
        assert (np.diff(everything.distances[q]) >= 0).all()
        nearest = filled.search(query[q], k=N)
        np.testing.assert_array_equal(everything.ids[q], nearest.ids)
        limited = filled.range_search(query[q], np.inf, limit=7)
        np.testing.assert_array_equal(limited.ids, nearest.ids[:7])
    ids, distances = filled.range_search(query[0], 5.0, rerank=N)
    exact = ((vectors().astype(np.float64) - query[0]) ** 2).sum(axis=1).astype(np.float32)
    assert sorted(ids.tolist()) == np.flatnonzero(exact <= 5.0).tolist()
    np.testing.assert_array_equal(distances, exact[ids])


@pytest.mark.parametrize("metric", ["l2", "dot"])
def test_in_lists(tmp_path, metric) -> None:
    """Only where lists are asked for; then all that is within the radius in the lists that are read."""
    rng = np.random.default_rng(3)
    made = rng.standard_normal((6000, 32)).astype(np.float32)
    pq = pqstore.PQ(M=32, Ks=16, verbose=False).fit(made[:400], iter=2)
    with small_segments(512), pqstore.Index.create(tmp_path / "index", pq, metric=metric, originals="float32") as index:
        index.add(made)
        asked = rng.standard_normal((3, 32)).astype(np.float32)
        radius = float(index.search(asked[0], 1000).distances[-1])
        before = index.range_search(asked, radius)
        with pytest.raises(ValueError, match="scan"):
            index.range_search(asked, radius, scan=100)
        index.partition(50)
        for how in ({}, {"nprobe": "all"}, {"nprobe": 50}, {"scan": 10**9}):
            after = index.range_search(asked, radius, **how)
            for ids, distances, its, their in zip(*before, *after, strict=True):
                np.testing.assert_array_equal(ids, its)
                np.testing.assert_array_equal(distances, their)
        for how in ({"nprobe": 4}, {"scan": 700}):
            found = index.range_search(asked, radius, **how)
            for q in range(3):
                read = index.search(asked[q], 6000, **how, explain=True)
                assert read.plan.method == "lists"
                assert 0 < len(found.ids[q]) < len(before.ids[q])
                assert set(found.ids[q]) <= set(before.ids[q])
                limited = index.range_search(asked[q], radius, limit=5, **how)
                np.testing.assert_array_equal(limited.ids, found.ids[q][:5])
        allowed = rng.choice(6000, 3000, replace=False)
        some = index.range_search(asked[0], radius, allow=allowed, nprobe=4)
        assert set(some.ids) == set(index.range_search(asked[0], radius, nprobe=4).ids) & set(allowed)
        ids, distances = index.range_search(asked[0], radius, rerank=300, nprobe=20)
        exact = index.search(asked[0], 300, rerank=300, nprobe=20)
        inside = exact.distances <= radius if metric == "l2" else exact.distances >= radius
        np.testing.assert_array_equal(ids, exact.ids[inside])
        np.testing.assert_array_equal(distances, exact.distances[inside])
        its = index.range_search(asked[0], radius, nprobe=4).ids
        with index.snapshot() as view, index.transaction() as txn:
            np.testing.assert_array_equal(view.range_search(asked[0], radius, nprobe=4).ids, its)
            np.testing.assert_array_equal(txn.range_search(asked[0], radius, nprobe=4).ids, its)
