"""The space of a state: one object as long as codes mean the same, another one after training."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import pqstore


def test_a_compaction_keeps_the_space(tmp_path: Path, small_pq: pqstore.PQ) -> None:
    """Codes that were made before it, by an index that keeps no vectors, were refused after it."""
    vectors = np.random.default_rng(0).standard_normal((20, small_pq.D)).astype(np.float32)
    index, other = pqstore.Index.create(tmp_path / "i", small_pq), pqstore.Index.open(tmp_path / "i")
    with index, other:
        index.add(vectors)
        before = other._spaces.now
        index.compact()
        assert other.add(vectors).tolist() == list(range(20, 40))
        assert other._spaces.now is before


def test_old_snapshots_and_new_states(tmp_path: Path) -> None:
    vectors = np.random.default_rng(0).standard_normal((200, 8)).astype(np.float32)
    with pqstore.Index.create(tmp_path / "i", pqstore.PQ(M=2, Ks=16, verbose=False), dim=8, train="manual") as index:
        index.add(vectors)
        with index.snapshot() as old:
            index.train()
            for _ in range(3):  # by turns
                assert old.search(vectors[3], k=1).distances.tolist() == [0.0]
                assert index.search(vectors[3], k=1, rerank=0).distances[0] > 0
        assert index.phase == "codes"
    assert index.phase == "codes"  # closed
