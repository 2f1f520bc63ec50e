"""Everything within a radius."""

from __future__ import annotations

import numpy as np

from tests.unit.index.contents import N, vectors


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
