"""A change that is committed is a call that succeeds, whatever fails after it; what failed is kept and told."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pqstore.errors import CorruptIndexError, StorageFullError
from pqstore.storage import Store
from pqstore.storage.disk.crash_points import observe
from pqstore.storage.transactions.faults import Faults

Create = Callable[..., Store]
CODES = np.arange(80, dtype=np.uint8).reshape(10, 8)


@pytest.mark.parametrize("error", [CorruptIndexError("x"), OSError(24, "no more files"), MemoryError(), RuntimeError()])
@pytest.mark.parametrize("moment", ["after commit", "segment rewritten"])
def test_what_fails_after_the_commit_does_not_fail_the_call(
    create: Create, caplog: pytest.LogCaptureFixture, error: Exception, moment: str
) -> None:
    store = create()
    with store.write() as txn:
        txn.append(np.zeros((3000, 8), dtype=np.uint8))

    def fail(name: str) -> None:
        if name == moment:
            raise error

    observe(fail)
    try:
        with caplog.at_level(logging.WARNING, "pqstore"):
            assert store.change(lambda txn: txn.kill(np.arange(2000))) == 2000
    finally:
        observe(None)
    assert store.stats().live_rows == 1000
    faults = store.stats().faults
    assert faults
    assert all(type(error).__name__ in fault and fault in caplog.text for fault in faults)
    for _ in range(3):  # one call is let pass, then it is tried again
        store.change(lambda txn: txn.append(CODES))
    assert store.stats().live_rows == 1030
    assert store.stats().dead_rows == 0 or moment == "after commit"
    assert store.verify(deep=True) == []
    store.close()


def test_maintenance_that_meets_a_damaged_record(create: Create, reopen: Create, rng: np.random.Generator) -> None:
    """Rewriting read a damaged segment after a removal was committed, and its error was the removal's."""
    store = create()
    codes = rng.integers(0, 256, (3000, 8), dtype=np.uint8)
    store.change(lambda txn: txn.append(codes))
    with store.read() as snapshot:
        stored = bytes(snapshot.chunks()[0].packed)
    store.close()
    path = next(store.path.glob("generation-*/data.mdb"))
    content = bytearray(path.read_bytes())
    at = content.find(stored)
    assert at > 0
    assert content.find(stored, at + 1) < 0
    content[at + 77] ^= 1
    path.write_bytes(content)
    store = reopen()
    assert store.change(lambda txn: txn.kill(np.arange(600))) == 600
    assert "codes of segment 0" in store.stats().faults[0]
    assert store.stats().live_rows == 2400
    assert ["codes of segment 0" in str(problem) for problem in store.verify()] == [True]
    for _ in range(40):
        store.change(lambda txn: txn.append(codes[:1]))
    assert 2 <= len(store.stats().faults) <= 7, "it is not tried at each commit"
    store.close()


@pytest.mark.parametrize("moment", ["after commit", "segment rewritten"])
@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_after_the_commit_goes_on_to_the_caller(
    create: Create, interrupt: type[BaseException], moment: str
) -> None:
    store = create()
    store.change(lambda txn: txn.append(np.zeros((3000, 8), dtype=np.uint8)))

    def fail(name: str) -> None:
        if name == moment:
            raise interrupt

    observe(fail)
    try:
        with pytest.raises(interrupt):
            store.change(lambda txn: txn.kill(np.arange(2000)))
    finally:
        observe(None)
    assert store.stats().live_rows == 1000
    assert store.stats().faults == ()
    store.change(lambda txn: txn.append(CODES), timeout=0)
    assert store.verify(deep=True) == []
    store.close()


def test_calls_that_change_nothing_succeed_while_maintenance_is_due(create: Create) -> None:
    """They began a second transaction inside their own, and failed until something was changed."""
    store = create()
    store.change(lambda txn: txn.append(np.zeros((3000, 8), dtype=np.uint8)))

    def fail(name: str) -> None:
        if name == "segment rewritten":
            raise StorageFullError("no room")

    observe(fail)
    try:
        store.change(lambda txn: txn.kill(np.arange(2000)))
    finally:
        observe(None)
    assert store.stats().dead_rows == 2000
    for _ in range(3):
        assert store.change(lambda txn: txn.kill([])) == 0
        with store.write() as txn:
            txn.rows_of([5])
    store.change(lambda txn: txn.append(CODES))
    assert store.stats().dead_rows < 2000
    store.close()


def test_what_fails_rests_longer_each_time(tmp_path: Path) -> None:
    faults, tried = Faults(tmp_path), []
    for number in range(1200):
        if not faults.is_resting("work"):
            tried.append(number)
            with faults.kept("work"):
                raise ValueError
    assert np.diff(tried).tolist() == [2, 3, 5, 9, 17, 33, 65, 129, 257, 257, 257]
    with faults.kept("work"):
        pass
    assert len(faults.texts) == 12
    with faults.kept("other"):
        raise StorageFullError("no room")
    assert not faults.is_resting("other"), "a full disk may have room at once"


@pytest.mark.parametrize("error", [ImportError("logging"), OSError(24, "Too many open files"), MemoryError()])
def test_a_fault_that_cannot_be_told_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("pqstore.storage.transactions.faults.warning", fail)
    faults = Faults(tmp_path)
    with faults.kept("maintenance"):
        raise ValueError("of the work")
    assert faults.texts == ("maintenance: ValueError: of the work",)
