"""Equal distances stand in the order of ids, whatever happened to the rows: held against all rows, sorted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pqstore

# Eight kinds of vectors: whatever is asked, many are equally near.
KINDS = np.eye(8, dtype=np.float32)


@pytest.fixture(scope="module")
def pq() -> pqstore.PQ:
    sample = np.random.default_rng(0).normal(size=(200, 8)).astype(np.float32)
    return pqstore.PQ(M=2, Ks=16, verbose=False).fit(sample, iter=2)


def names(numbers: np.ndarray, id_type: str) -> list[int] | list[str]:
    return numbers.tolist() if id_type == "int64" else [f"n{number}" for number in numbers.tolist()]


def expected(index: pqstore.Index, query: np.ndarray, kept: dict) -> list:
    """All ids that are kept, nearest first, equal distances by id."""
    everything = index.search(query, k=len(kept))
    distance = dict(zip(everything.ids.tolist(), everything.distances.tolist(), strict=True))
    assert set(distance) == set(kept)
    return sorted(kept, key=lambda name: (distance[name], name))


@pytest.mark.parametrize("originals", [None, "float32"])
@pytest.mark.parametrize("id_type", ["int64", "str"])
@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10**6), k=st.integers(1, 40))
def test_searches_against_all_rows(id_type, originals, pq, tmp_path_factory, seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    which = rng.integers(0, 8, 300)
    ids = names(rng.permutation(1000)[:300], id_type)
    path = tmp_path_factory.mktemp("order") / "index"
    with pqstore.Index.create(path, pq, id_type=id_type, originals=originals) as index:
        index.add(KINDS[which[:200]], ids[:200])
        index.remove([ids[at] for at in rng.permutation(200)[:50]])
        index.add(KINDS[which[200:]], ids[200:])
        kept = {name: which[ids.index(name)] for name in index}
        allowed = [name for name in kept if rng.random() < 0.5]
        queries = KINDS[:3] + np.float32(0.01)
        before = index.search(queries, k=k)
        for q, query in enumerate(queries):
            order = expected(index, query, kept)
            assert before.ids[q].tolist() == order[:k]
            assert index.search(query, k=k).ids.tolist() == order[:k]
            some = [name for name in order if name in set(allowed)][:k]
            assert index.search(query, k=k, allow=allowed).ids.tolist()[: len(some)] == some
            assert index.range_search(query, 1e9, limit=k).ids.tolist() == order[:k]
            if originals:
                assert (
                    index.search(query, k=k, rerank=len(kept)).ids.tolist()
                    == sorted(
                        kept, key=lambda name: (float(((KINDS[kept[name]] - query).astype(float) ** 2).sum()), name)
                    )[:k]
                )
        index.compact()
        np.testing.assert_array_equal(index.search(queries, k=k).ids, before.ids)
    with pqstore.Index.open(path) as index:
        np.testing.assert_array_equal(index.search(queries, k=k).ids, before.ids)


def test_rewriting_changes_no_answer(pq, tmp_path: Path) -> None:
    # Rows that maintenance or compact() moved came behind those that had been added later.
    vectors = np.tile(KINDS, (17_000, 1))
    with pqstore.Index.create(tmp_path / "index", pq, bulk=True) as index:
        index.add(vectors)
        index.publish()
        index.remove(np.arange(8, 40_000))
        assert index.search(KINDS[0], k=4).ids.tolist() == [0, 40_000, 40_008, 40_016]
        index.compact()
        assert index.search(KINDS[0], k=4).ids.tolist() == [0, 40_000, 40_008, 40_016]
