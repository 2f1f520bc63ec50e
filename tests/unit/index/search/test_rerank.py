"""Re-ranking by originals: exact distances, and what originals of each kind can hold."""

from __future__ import annotations

import numpy as np
import pytest

import pqstore
from tests.unit.index.contents import N, vectors


def test_recall_of_real_vectors(tmp_path, base, queries, truth, sift_pq) -> None:
    for kind, least in (("int8", 0.98), ("float16", 0.98), ("float32", 0.98)):
        with pqstore.Index.create(tmp_path / kind, sift_pq, originals=kind) as filled:
            filled.add(base)
            found = filled.search(queries, k=10, rerank=100)
            shares = [len(set(a) & set(b[:10])) / 10 for a, b in zip(found.ids.tolist(), truth.tolist(), strict=True)]
            assert np.mean(shares) >= least
            # whole numbers of 8 bits are exact in all three
            differences = base[found.ids].astype(np.float64) - queries[:, None].astype(np.float64)
            np.testing.assert_array_equal(found.distances, (differences**2).sum(axis=2))
            one = filled.search(queries[3], k=10, rerank=100)
            np.testing.assert_array_equal(one.ids, found.ids[3])
            np.testing.assert_array_equal(filled.get(17).vector, base[17])


@pytest.mark.parametrize("metric", ["l2", "dot", "cosine"])
def test_int8_is_within_half_a_step(tmp_path, small_pq, metric) -> None:
    given = vectors() * np.random.default_rng(2).uniform(1e-3, 1e3, (N, 1)).astype(np.float32)
    with pqstore.Index.create(tmp_path / metric, small_pq, metric=metric, originals="int8") as filled:
        filled.add(given)
        got = np.array([record.vector for record in filled.get(range(N))])
        step = (given.max(axis=1) - given.min(axis=1)) / 255
        assert (np.abs(got - given) <= step[:, None] * 0.501 + 1e-6).all()
        constant = np.full((1, 8), 0.1, dtype=np.float32)
        filled.add(constant, ids=[9999])
        np.testing.assert_array_equal(filled.get(9999).vector, constant[0])


def test_rerank_beyond_the_live_rows(filled) -> None:
    found = filled.search(vectors()[5], k=5, rerank=10_000)
    assert found.ids[0] == 5
    assert found.distances[0] == 0
    assert len(filled.search(vectors()[5], k=2000, rerank=2000).ids) == 2000


def test_without_originals(tmp_path, small_pq) -> None:
    with pqstore.Index.create(tmp_path / "index", small_pq) as filled:
        filled.add(vectors()[:20])
        for call in (
            lambda: filled.search(vectors()[0], rerank=20),
            lambda: filled.range_search(vectors()[0], 1.0, rerank=20),
            lambda: filled.calibrate(vectors()[:5]),
            lambda: filled.recall_report(vectors()[:5]),
        ):
            with pytest.raises(ValueError, match="originals='float16'"):
                call()
        record = filled.get(3)
        assert not record.is_original
        np.testing.assert_array_equal(record.vector, filled.reconstruct(3))


def test_float16_refuses_what_it_cannot_hold(empty) -> None:
    with pytest.raises(pqstore.InvalidVectorError, match="float16"):
        empty.add(np.full((1, 8), 1e6, dtype=np.float32))
    assert len(empty) == 0
