"""Whole numbers beyond what there is, or what results may take: answered, or refused by name; nothing is lost."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import pqstore

GOOD = np.random.default_rng(0).standard_normal((5, 8)).astype(np.float32)


@pytest.fixture
def index(tmp_path: Path, small_pq: pqstore.PQ):
    with pqstore.Index.create(tmp_path / "index", small_pq) as index:
        index.add(GOOD)
        yield index


@pytest.mark.parametrize("k", [2**29, 2**40, 2**70])
def test_k_beyond_what_results_may_take(index: pqstore.Index, k: int) -> None:
    # It was NumPy's MemoryError of 4 TiB.
    with pytest.raises(ValueError, match=rf"k = {k:,} for 1 query .* ask for 357,913,941 or fewer"):
        index.search(GOOD[0], k=k)
    with pytest.raises(ValueError, match=r"for 5 queries .* 71,582,788 or fewer"):
        index.search(GOOD, k=k)


@pytest.mark.parametrize("count", [2**40, 2**70])
def test_counts_beyond_what_there_is(index: pqstore.Index, tmp_path: Path, small_pq: pqstore.PQ, count: int) -> None:
    assert len(index.range_search(GOOD[0], 1e9, limit=count).ids) == 5
    assert len(index.scroll(limit=count).records) == 5
    assert [len(ids) for ids, _ in index.iter_codes(count)] == [5]
    assert index.search(GOOD[0], k=3, threads=count).ids.tolist() == index.search(GOOD[0], k=3).ids.tolist()
    with pqstore.Index.create(tmp_path / "with", small_pq, originals="float32") as exact:
        exact.add(GOOD)
        assert exact.search(GOOD, k=1, rerank=count).ids[:, 0].tolist() == [0, 1, 2, 3, 4]
        assert len(exact.range_search(GOOD[0], 1e9, rerank=count).ids) == 5
        assert exact.recall_report(GOOD, rerank=[count], quiet=True).rows[1].recall == {1: 1.0}
        assert exact.calibrate(GOOD, k=count).k == 5


@pytest.mark.parametrize("count", [0, -1])
def test_counts_below_one(index: pqstore.Index, count: int) -> None:
    for ask in (
        lambda: index.search(GOOD, k=count),
        lambda: index.search(GOOD, threads=count),
        lambda: index.range_search(GOOD, 1.0, limit=count),
        lambda: index.scroll(limit=count),
        lambda: list(index.iter_codes(count)),
    ):
        with pytest.raises(ValueError, match="must be at least 1"):
            ask()
