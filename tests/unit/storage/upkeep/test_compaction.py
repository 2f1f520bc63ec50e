"""compact and backup: space is given back, every row is kept."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pqstore.errors import IndexExistsError, ReadOnlyError
from pqstore.storage import Store
from pqstore.storage.disk.crash_points import observe
from pqstore.storage.disk.directory import generation_path
from tests.unit.storage.model import Model
from tests.unit.storage.processes import start_python

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


@pytest.mark.parametrize("writer", ["that had the index open", "that is new"])
@pytest.mark.parametrize("point", ["generation switched", "old generation marked"])
def test_readers_learn_of_a_compaction_that_died(create: Create, reopen: Create, point: str, writer: str) -> None:
    """They went on with the old generation for ever: who compacted it was killed before it had marked it."""
    store = create()
    codes = np.zeros((10, 8), dtype=np.uint8)
    store.change(lambda txn: txn.append(codes))
    reader = start_python(
        """
        for line in sys.stdin:
            with store.read() as snapshot: print(snapshot.live_rows, flush=True)
        """,
        str(store.path),
    )
    assert reader.stdin is not None and reader.stdout is not None  # noqa: PT018 - for the type checker

    def seen() -> int:
        print(file=reader.stdin, flush=True)
        return int(reader.stdout.readline())

    assert seen() == 10
    if writer == "that is new":
        store.close()
    pid = os.fork()
    if pid == 0:
        observe(lambda name: os.kill(os.getpid(), signal.SIGKILL) if name == point else None)
        (store if not store.closed else reopen()).compact()
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    if store.closed:
        store = reopen()
    store.change(lambda txn: txn.append(codes))
    assert seen() == 20
    assert [entry.name for entry in store.path.glob("generation-*")] == ["generation-00000002"]
    reader.communicate()
    assert store.verify(deep=True) == []
    store.close()


@pytest.mark.parametrize("point", ["generation switched", "old generation marked"])
def test_what_fails_after_the_switch_does_not_fail_the_compaction(create: Create, point: str) -> None:
    store = create()
    store.change(lambda txn: txn.append(np.zeros((10, 8), dtype=np.uint8)))

    def fail(name: str) -> None:
        if name == point:
            raise OSError(5, "input/output error")

    observe(fail)
    try:
        store.compact()
    finally:
        observe(None)
    assert "input/output error" in store.stats().faults[0]
    store.change(lambda txn: txn.append(np.zeros((10, 8), dtype=np.uint8)))
    assert (store.stats().live_rows, store.stats().generation) == (20, 2)
    assert [entry.name for entry in store.path.glob("generation-*")] == ["generation-00000002"]
    assert store.verify(deep=True) == []
    store.close()
