"""The space of a state: one object as long as codes mean the same, another one after training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

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


@pytest.fixture
def listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pqstore.Index:
    """An index that has trained itself, with lists of several sealed segments."""
    for module in ("store", "upkeep.rebuild_plan"):
        monkeypatch.setattr(f"pqstore.storage.{module}.segment_rows_for", lambda packing: 64)
    vectors = np.random.default_rng(0).standard_normal((400, 8)).astype(np.float32)
    index = pqstore.Index.create(tmp_path / "i", pqstore.PQ(M=2, Ks=16, verbose=False), dim=8, train="manual")
    index.add(vectors)
    index.train()
    index.partition(5)
    return index


def test_rows_get_into_lists_by_the_codes_of_their_generation(listed: pqstore.Index) -> None:
    """After a training a handle that had not searched yet took codewords of before it for those of the codes."""
    with listed as index:
        index.retrain(pqstore.PQ(M=2, Ks=32, verbose=False))
        assert index._store.verify(deep=True) == []
        index.remove(range(5))
        assert index.verify(deep=True) == []
        index.retrain()
        assert index.verify(deep=True) == []


def test_lists_are_not_made_of_other_codes_than_their_table(
    listed: pqstore.Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another handle trains while a table is trained: its rows would have got into lists of codes that are gone."""
    from pqstore.index.lists import partitioning

    trained = partitioning.train_partitions

    def and_meanwhile(*arguments, **options):
        monkeypatch.undo()
        with pqstore.Index.open(listed.path) as other:
            other.retrain(pqstore.PQ(M=4, Ks=16, verbose=False))
        return trained(*arguments, **options)

    monkeypatch.setattr(partitioning, "train_partitions", and_meanwhile)
    with listed as index:
        with pytest.raises(pqstore.PQStoreError, match="rebuilt meanwhile"):
            index.partition(7)
        assert index.verify(deep=True) == []
        index.partition(7)
        assert index.verify(deep=True) == []
