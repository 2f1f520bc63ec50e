"""Results as dicts: what programs print and send, without padding."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

import pqstore

VECTORS = np.random.default_rng(2).random((20, 4), dtype=np.float32)


@pytest.fixture(params=["int64", "str"])
def index(request, tmp_path) -> Any:
    pq = pqstore.PQ(M=2, Ks=8, verbose=False).fit(VECTORS, iter=2)
    with pqstore.Index.create(tmp_path / "i", pq, id_type=request.param, originals="float32") as made:
        numbers = [-1, *range(1, 20)]  # -1 is an id like any other
        made.add(
            VECTORS, numbers if request.param == "int64" else map(str, numbers), payloads=[{"n": n} for n in numbers]
        )
        yield made


def test_one_query_and_several(index: pqstore.Index) -> None:
    found = index.search(VECTORS[:3], k=25)
    several = found.to_dicts()
    assert [len(hits) for hits in several] == [20, 20, 20]
    for row, hits in enumerate(several):
        assert [hit["id"] for hit in hits] == found.ids[row, :20].tolist()
        assert [hit["distance"] for hit in hits] == found.distances[row, :20].tolist()
        assert all(hit.keys() == {"id", "distance"} for hit in hits)
        assert index.search(VECTORS[row], k=25).to_dicts() == hits
    assert json.loads(json.dumps(several)) == several


def test_what_was_included(index: pqstore.Index) -> None:
    for queries in (VECTORS[0], VECTORS[:2]):
        found = index.search(queries, k=30, include=("payload", "vector"))
        hits = found.to_dicts() if queries.ndim == 1 else found.to_dicts()[0]
        assert len(hits) == 20
        for hit in hits:
            assert hit["payload"] == {"n": int(hit["id"])}
            np.testing.assert_array_equal(hit["vector"], VECTORS[0 if int(hit["id"]) == -1 else int(hit["id"])])


def test_nothing_found(index: pqstore.Index) -> None:
    assert index.search(VECTORS[0], where={"n": {"$gt": 100}}).to_dicts() == []
    assert index.search(VECTORS[:2], where={"n": {"$gt": 100}}).to_dicts() == [[], []]
    assert index.search(np.empty((0, 4)), k=3).to_dicts() == []
