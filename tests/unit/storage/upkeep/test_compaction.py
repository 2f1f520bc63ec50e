"""compact and backup: space is given back, every row is kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pqstore.errors import IndexExistsError, ReadOnlyError
from pqstore.storage import Store
from pqstore.storage.disk.directory import generation_path
from tests.unit.storage.model import Model

Create = Callable[..., Store]


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
