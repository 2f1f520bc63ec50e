"""Segments are rewritten and runs merged as commits go by."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pqstore.storage import Store
from pqstore.storage.idmap import merge
from pqstore.storage.transactions import write as transaction_module
from pqstore.storage.upkeep import maintenance
from tests.unit.storage.model import Model

Create = Callable[..., Store]


def test_dead_rows_are_rewritten_as_commits_go_by(create: Create, model: Model) -> None:
    store = create(id_type=model.id_type)
    model.add(store, 10_000)
    for _ in range(30):
        model.replace(store, 1000)
    stats = store.stats()
    assert stats.dead_rows < 0.6 * stats.live_rows
    assert stats.id_run_entries < 3 * stats.live_rows
    model.check(store)
    assert store.verify(deep=True) == []
    store.close()


def test_merging_in_small_steps(create: Create, model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs of many chunks, merged over many commits, with removals in between."""
    for module in ("pqstore.storage.format.records", "pqstore.storage.idmap.runs", "pqstore.storage.idmap.merge"):
        monkeypatch.setattr(f"{module}.RUN_CHUNK_ENTRIES", 600)
    monkeypatch.setattr("pqstore.storage.upkeep.verify.RUN_CHUNK_ENTRIES", 600)
    monkeypatch.setattr(merge, "_SMALLEST", 1024)
    monkeypatch.setattr(maintenance, "_MERGE_STEP", 700)
    monkeypatch.setattr(maintenance, "_MERGE_AT_ONCE", 1500)
    monkeypatch.setattr(transaction_module, "_MERGE_PER_ROW", 3)
    monkeypatch.setattr(transaction_module, "_MERGE_SAVED", 0)
    store = create(id_type=model.id_type, bulk=True)
    seen_jobs = 0
    for turn in range(60):
        model.add(store, 500)
        model.remove(store, 40)
        with store.read() as snapshot:
            seen_jobs += snapshot.state.merge is not None and snapshot.state.merge.entries > 0
            assert len(snapshot.state.runs) <= 14
        if turn % 4 == 3:
            assert store.verify() == []
    assert seen_jobs > 5
    model.check(store)
    store.compact()
    model.check(store)
    assert store.verify(deep=True) == []
    store.close()
