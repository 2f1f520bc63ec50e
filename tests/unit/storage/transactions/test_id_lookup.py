"""Automatic ids are new, whatever the counter says."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from pqstore.errors import CorruptIndexError
from pqstore.storage import Limits, Store
from pqstore.storage.disk.directory import generation_path
from pqstore.storage.format import records
from pqstore.storage.format.state import State
from tests.format.edited import edited

Create = Callable[..., Store]


@pytest.mark.parametrize("rows", [5, 1500, 4000], ids=["in the tail", "in ranges", "in runs"])
def test_a_counter_that_lies_gives_no_id_twice(create: Create, reopen: Create, rows: int) -> None:
    store = create(limits=Limits(run_entries=1024))
    ids = np.arange(rows) if rows == 1500 else np.random.default_rng(1).permutation(rows)
    with store.write() as txn:
        txn.append(np.zeros((rows, 8), dtype=np.uint8), ids)
    store.close()
    with edited(generation_path(store.path, 1), "meta") as (txn, meta):
        state = State.unpack(memoryview(txn.get(records.STATE_KEY, db=meta)))
        txn.put(records.STATE_KEY, state._replace(next_id=3).pack(), db=meta)

    def give_ids() -> None:
        with reopen() as store, store.write() as txn:
            txn.append(np.zeros((1, 8), dtype=np.uint8))

    with pytest.raises(CorruptIndexError, match="state: "):
        give_ids()


def test_ids_that_are_given_leave_the_counter_right(create: Create) -> None:
    with create() as store:
        for ids in ([5], None, [3], None, [100, 50], None):
            with store.write() as txn:
                codes = np.zeros((1 if ids is None else len(ids), 8), dtype=np.uint8)
                given = txn.append(codes, None if ids is None else np.array(ids))
                if ids is None:
                    assert given[1].tolist() == [txn.next_id - 1]
        assert txn.next_id == 102
