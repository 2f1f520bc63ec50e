"""Segments are rewritten and runs merged as commits go by."""

from __future__ import annotations

from collections.abc import Callable

from pqstore.storage import Limits, Store
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


def test_merging_in_small_steps(create: Create, model: Model) -> None:
    """Runs of many chunks, merged over many commits, with removals in between."""
    limits = Limits(
        run_chunk_entries=600,
        smallest_tier=1024,
        merge_step=700,
        merge_at_once=1500,
        merge_per_row=3,
        merge_saved=0,
    )
    store = create(id_type=model.id_type, bulk=True, limits=limits)
    seen_jobs = 0
    for turn in range(60):
        model.add(store, 500)
        model.remove(store, 40)
        with store.read() as snapshot:
            seen_jobs += snapshot.records.state.merge is not None and snapshot.records.state.merge.entries > 0
            assert len(snapshot.records.state.runs) <= 14
        if turn % 4 == 3:
            assert store.verify() == []
    assert seen_jobs > 5
    model.check(store)
    store.compact()
    model.check(store)
    assert store.verify(deep=True) == []
    store.close()
