"""compact, backup, verify and repair of sound indexes, and rewriting and merging as commits go by."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pqstore.errors import IndexExistsError, ReadOnlyError
from pqstore.storage import Limits, Store, repair
from pqstore.storage.disk.directory import generation_path
from pqstore.storage.transactions import write as transaction_module

from .model import Model
from .row_packing import RowPacking

Create = Callable[..., Store]
STAGING = Limits(stage_bytes=60_000, run_entries=3000)


@pytest.fixture(params=["int64", "str"])
def model(request: pytest.FixtureRequest, rng: np.random.Generator) -> Model:
    return Model(request.param, 8, rng)


def test_compact_gives_space_back_and_keeps_every_row(create: Create, reopen: Create, model: Model) -> None:
    store = create(id_type=model.id_type)
    for _ in range(4):
        model.add(store, 5000)
    model.remove(store, 15_000)
    before = store.stats()
    old = store.read()
    size_then = old.live_rows
    store.compact()
    after = store.stats()
    assert after.dead_rows == 0
    assert after.id_runs <= 1
    assert after.generation == before.generation + 1
    assert after.file_bytes < before.file_bytes / 2
    assert after.commits >= before.commits
    assert old.live_rows == size_then
    assert sum(len(block) for block in old.iter_ids()) == size_then  # the old generation goes on
    old.close()
    assert not generation_path(store.path, before.generation).exists()
    model.check(store)
    model.add(store, 3)
    model.check(store)
    assert store.verify(deep=True) == []
    store.close()
    store = reopen()
    model.check(store)
    store.close()


def test_compact_of_an_empty_and_of_a_small_index(create: Create, model: Model) -> None:
    store = create(id_type=model.id_type)
    store.compact()
    model.add(store, 700)
    model.remove(store, 600)
    store.compact()
    assert (store.stats().dead_rows, store.stats().tail_rows) == (0, 100)
    model.check(store)
    assert store.verify(deep=True) == []
    store.close()


def test_readonly_handles_do_not_compact(create: Create, reopen: Create) -> None:
    create().close()
    store = reopen(readonly=True)
    with pytest.raises(ReadOnlyError):
        store.compact()
    assert store.verify(deep=True) == []
    store.close()


def test_backup_is_an_index_of_its_own(create: Create, reopen: Create, model: Model, tmp_path: Path) -> None:
    store = create(id_type=model.id_type)
    model.add(store, 3000)
    copy = tmp_path / "copy.pqs"
    with store.read():
        store.backup(copy)
    with pytest.raises(IndexExistsError):
        store.backup(copy)
    saved = dict(model.rows)
    model.remove(store, 100)
    store.close()
    model.rows, current = saved, model.rows
    backup = reopen(path=copy)
    model.check(backup)
    model.add(backup, 2000)
    assert backup.verify(deep=True) == []
    backup.close()
    model.rows = current
    store = reopen()
    model.check(store)
    store.close()


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


def test_long_transactions_are_staged(create: Create, reopen: Create, model: Model) -> None:
    """A transaction larger than memory goes to the disk piece by piece, and is still all or nothing."""
    store = create(id_type=model.id_type, limits=STAGING)
    model.add(store, 900)
    version = store.read()
    with pytest.raises(RuntimeError, match="stop"), store.write() as txn:  # noqa: PT012 - the block is the test
        for _ in range(4):
            txn.append(np.zeros((9000, 8), dtype=np.uint8), model.new_ids(9000))
        with store.read() as meanwhile:
            assert meanwhile.live_rows == 900
        raise RuntimeError("stop")
    assert store.verify(deep=True) == []
    model.check(store)
    model.add(store, 40_000)
    model.check(store)
    assert store.verify(deep=True) == []
    assert version.live_rows == 900
    version.close()
    store.close()
    store = reopen()
    model.check(store)
    store.close()


def test_what_a_dead_writer_staged_is_cleared(
    create: Create, reopen: Create, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = create(id_type=model.id_type, limits=STAGING)
    model.add(store, 900)
    monkeypatch.setattr(transaction_module, "clear_staged", lambda environment: None)  # as if the process had died
    with pytest.raises(RuntimeError, match="stop"), store.write() as txn:  # noqa: PT012
        txn.append(np.zeros((30_000, 8), dtype=np.uint8), model.new_ids(30_000))
        raise RuntimeError("stop")
    store.close()
    store = reopen()
    assert store.verify(deep=True) == []
    with store.read() as snapshot:
        staged_bytes = sum(len(snapshot.records.keys(name)) for name in ("codes", "rowids", "runs"))
    assert staged_bytes > 20
    model.add(store, 5000)
    model.check(store)
    assert store.verify(deep=True) == []
    with store.read() as snapshot:
        assert len(snapshot.records.keys("codes")) == store.stats().segments
    store.close()


def test_bulk_building(create: Create, reopen: Create, model: Model, path: Path) -> None:
    store = create(id_type=model.id_type, bulk=True)
    assert not path.exists()
    model.add(store, 5000)
    model.check(store)
    store.publish()
    assert path.exists()
    assert store.path == path
    model.add(store, 10)
    model.check(store)
    store.close()
    store = reopen()
    model.check(store)
    assert store.verify(deep=True) == []
    store.close()
    abandoned = create(path=path.with_name("other"), bulk=True)
    abandoned.close()
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_repair_of_a_sound_index_is_a_copy(create: Create, reopen: Create, model: Model, tmp_path: Path) -> None:
    store = create(id_type=model.id_type, arrays={"codewords": np.arange(6.0)}, settings={"M": 8})
    model.add(store, 5000)
    model.remove(store, 700)
    model.replace(store, 300)
    store.close()
    report = repair(store.path, tmp_path / "new", lambda _: RowPacking(8))
    assert (report.losses, report.rows_lost, report.rows_salvaged) == ([], 0, 4300)
    store = reopen(path=tmp_path / "new")
    assert store.arrays()["codewords"].tolist() == list(range(6))
    model.check(store)
    assert store.verify(deep=True) == []
    store.close()
