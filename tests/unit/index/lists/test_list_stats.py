"""What an index says of its lists, and when it asks for new ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import pqstore
from tests.unit.index.listed import small_segments

D = 32


def vectors(n: int, scale: float = 1.0) -> np.ndarray:
    return (np.random.default_rng(n).standard_normal((n, D)) * scale).astype(np.float32)


def test_counts(tmp_path: Path) -> None:
    pq = pqstore.PQ(M=32, Ks=32, verbose=False).fit(vectors(200), iter=2)
    with small_segments(), pqstore.Index.create(tmp_path / "index", pq) as index:
        index.add(vectors(1000))
        assert index.stats().lists is None
        assert "lists" not in repr(index)
        index.partition(4)
        assert ", 4 lists" in repr(index)
        lists = index.stats().lists
        assert (lists.partitions, lists.runs, lists.trained_rows) == (4, 1, 1000)
        assert (lists.listed_rows, lists.flat_rows, lists.dead_rows) == (7 * 128, 1000 - 7 * 128, 0)
        assert 1 <= lists.imbalance < 2.5
        assert lists.advice is None
        index.remove(range(0, 200, 10))
        lists = index.stats().lists
        assert (lists.listed_rows, lists.dead_rows) == (7 * 128, 20)
        index.remove(range(300, 400))  # whose segments are then rewritten
        stats = index.stats()
        live_in_lists = stats.lists.listed_rows - stats.lists.dead_rows
        assert live_in_lists + stats.lists.flat_rows >= stats.vectors
        assert live_in_lists <= stats.vectors


def test_advice(tmp_path: Path) -> None:
    pq = pqstore.PQ(M=32, Ks=32, verbose=False).fit(vectors(200), iter=2)
    with small_segments(), pqstore.Index.create(tmp_path / "index", pq) as index:
        index.add(vectors(130))
        index.partition(16)
        one = np.repeat(vectors(1), 400, axis=0)
        index.add(one)
        advice = index.stats().lists.advice
        assert advice is not None
        assert "lists are uneven" in advice
        index.add(vectors(700))
        assert "has grown from 130 to 1,230 vectors" in index.stats().lists.advice
        index.partition()
        assert "grown" not in str(index.stats().lists.advice)
