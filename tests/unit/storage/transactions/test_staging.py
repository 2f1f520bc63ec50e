"""Long transactions put what they wrote aside; what a dead writer left is cleared."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgpack
import numpy as np
import pytest

from pqstore.errors import CorruptIndexError
from pqstore.storage import Limits, Store
from pqstore.storage.disk.directory import generation_path
from pqstore.storage.format import records
from pqstore.storage.transactions import write as transaction_module
from tests.format.edited import edited
from tests.unit.storage.model import Model

Create = Callable[..., Store]
STAGING = Limits(stage_bytes=60_000, run_entries=3000)


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


@pytest.mark.parametrize("content", [[[0, 2**62], []], [[3, 2**62], [2**40]], [[2, 3], [0]]], ids=str)
def test_staged_numbers_are_no_length_of_a_loop(create: Create, reopen: Create, content: object) -> None:
    """Every write counted through the segments that were named, holding the lock; and deleted those of the index."""
    store = create()
    with store.write() as txn:
        txn.append(np.zeros((3000, 8), dtype=np.uint8))
    store.close()
    record = records.pack_record(records.STAGED, 0, 0, 0, [msgpack.packb(content)])
    with edited(generation_path(store.path, 1), "meta") as (txn, meta):
        txn.put(records.STAGED_KEY, record, db=meta)
    store = reopen()
    belongs = content[0][0] < 2  # type: ignore[index]
    assert {problem.invariant for problem in store.verify(deep=True)} == ({2} if belongs else set())
    if belongs:
        with pytest.raises(CorruptIndexError, match="staged: names segments from 0"), store.write() as txn:
            txn.append(np.zeros((1, 8), dtype=np.uint8))
    else:
        with store.write() as txn:
            txn.append(np.zeros((1, 8), dtype=np.uint8))
        assert store.verify(deep=True) == []
    with store.read() as snapshot:
        assert snapshot.rows_of(np.arange(3000)).tolist() == list(range(3000))
    store.close()
