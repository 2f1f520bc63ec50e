"""A transaction: all of it or none, and what it counts."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from pqstore.errors import (
    InvalidIdError,
)
from pqstore.storage import Store
from pqstore.storage.transactions.committed import CommittedRecords
from tests.unit.storage.row_packing import RowPacking

Create = Callable[..., Store]


CODES = np.arange(80, dtype=np.uint8).reshape(10, 8)


def test_an_exception_undoes_the_transaction(create: Create) -> None:
    store = create()
    with pytest.raises(RuntimeError, match="changed my mind"), store.write() as txn:  # noqa: PT012 - the block is the test
        txn.append(np.zeros((3000, 8), dtype=np.uint8), np.arange(3000))
        raise RuntimeError("changed my mind")
    with store.read() as snapshot:
        assert (snapshot.live_rows, snapshot.total_rows, snapshot.version) == (0, 0, 0)
        assert snapshot.rows_of(np.arange(3000)).max() == -1
    # The same segment numbers again, with other content, must not meet views of the undone ones.
    with store.write() as txn:
        txn.append(np.ones((3000, 8), dtype=np.uint8), np.arange(3000) + 5)
    with store.read() as snapshot:
        assert snapshot.codes_of(np.arange(3000)).min() == 1
        assert snapshot.ids_of([0]).tolist() == [5]
    store.close()


def test_an_empty_transaction_writes_nothing(create: Create) -> None:
    store = create()
    with store.write() as txn:
        assert len(txn.append(CODES[:0], np.empty(0, dtype=np.int64))) == 0
        assert txn.kill(np.empty(0, dtype=np.int64)) == 0
    assert store.stats().commits == 0
    store.close()


def test_automatic_ids_end_at_the_largest_int64(create: Create) -> None:
    store = create()
    with store.write() as txn:
        txn.append(CODES[:2], np.array([-(2**63), 2**63 - 1]))
        assert txn.rows_of(np.array([2**63 - 1, -(2**63)])).tolist() == [1, 0]
    with store.write() as txn, pytest.raises(InvalidIdError, match="largest int64"):
        txn.append(CODES[:1])
    store.close()


def test_kill_counts_what_was_live(create: Create) -> None:
    store = create()
    with store.write() as txn:
        txn.append(CODES, np.arange(10))
        assert txn.kill([1, 1, 2]) == 2
        assert txn.kill([2, 3, 99, 10_000_000]) == 1
        assert txn.live_rows == 7
    with store.read() as snapshot:
        assert snapshot.live_rows == 7
    store.close()


def test_arrays_of_the_caller_may_change_after_the_call(create: Create) -> None:
    class Borrowing(RowPacking):
        def pack(self, codes: np.ndarray) -> np.ndarray:
            return codes.reshape(-1).view(np.uint8)

    store = create(packing=Borrowing(8))
    codes, ids = np.ones((32, 8), dtype=np.uint8), np.arange(32)
    with store.write() as txn:
        txn.append(codes, ids)
        codes[:], ids[:] = 7, 1000
        assert txn.rows.codes_of([5]).max() == 1
    codes[:], ids[:] = 8, 2000
    with store.read() as snapshot:
        assert snapshot.codes_of([5]).max() == 1
        assert snapshot.ids_of([5]).tolist() == [5]
        assert snapshot.rows_of([5, 1000, 2000]).tolist() == [5, -1, -1]
    store.close()


def test_a_removal_reads_nothing_that_this_process_has_written(create: Create, monkeypatch: pytest.MonkeyPatch) -> None:
    store = create()
    with store.write() as txn:
        txn.append(np.zeros((3000, 8), dtype=np.uint8), np.arange(3000))
    read: list[str] = []
    get = CommittedRecords.get

    def noted(records: CommittedRecords, database: str, key: bytes) -> memoryview | None:
        read.append(database)
        return get(records, database, key)

    monkeypatch.setattr(CommittedRecords, "get", noted)
    for gone in (2998, 5, 2990, 7):  # by turns of the tail and of a sealed segment
        with store.write() as txn:
            assert txn.kill(txn.rows_of(np.array([gone]))) == 1
    assert not {"tail", "tombstones"} & set(read)
    store.close()


@pytest.mark.parametrize("count", [1, 20])
def test_a_state_that_was_kept_is_the_one_that_is_stored(
    create: Create, reopen: Create, rng: np.random.Generator, count: int
) -> None:
    store, alive, next_id = create(), set(range(3000)), 3000
    with store.write() as txn:
        txn.append(np.zeros((3000, 8), dtype=np.uint8), np.arange(3000))
    for turn in range(40):
        with store.write() as txn:
            gone = rng.choice(sorted(alive), count, replace=False)
            assert txn.kill(txn.rows_of(gone)) == count
            alive -= set(gone.tolist())
            if turn % 3 == 0:
                new = np.arange(next_id, next_id + count)
                txn.append(np.zeros((count, 8), dtype=np.uint8), new)
                alive |= set(new.tolist())
                next_id += count
    everyone = np.arange(next_id)
    with store.read() as snapshot:
        kept = snapshot.rows_of(everyone)
    store.close()
    store = reopen()
    with store.read() as snapshot:
        assert snapshot.rows_of(everyone).tolist() == kept.tolist()
        assert set(np.flatnonzero(kept >= 0).tolist()) == alive
    store.close()
