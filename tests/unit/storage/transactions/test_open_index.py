"""One index, open in this process: garbage closes it, and its map gets larger when nothing is read through it."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import textwrap
import threading
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pqstore.errors import StorageFullError
from pqstore.storage import Store
from pqstore.storage.limits import Limits
from pqstore.storage.transactions import open_index
from tests.unit.storage.processes import ROOT, start_python

CODES = np.arange(80, dtype=np.uint8).reshape(10, 8)
TIGHT = Limits(least_map=1 << 20)
BLOCK = np.arange(8 * 20_000, dtype=np.uint8).reshape(20_000, 8)


@pytest.fixture
def many_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process has as many indexes open as get ample maps."""
    from pqstore.storage.disk import address_space

    monkeypatch.setattr(address_space, "_reserved", 1 << 47)


def map_bytes(store: Store) -> int:
    with store.read() as snapshot:
        return snapshot.records.generation.environment.info()["map_size"]


def fill(store: Store, blocks: int) -> None:
    for _ in range(blocks):
        with store.write() as txn:
            txn.append(BLOCK)


def registered() -> int:
    return len(open_index._registry)


def forget(held: list[Store]) -> None:
    held.clear()
    gc.collect()


def in_another_thread(work: Callable[[], None]) -> None:
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def test_a_forgotten_handle_is_closed_with_a_warning(path: Path, create: Callable[..., Store]) -> None:
    before = registered()
    held = [create()]
    with pytest.warns(ResourceWarning, match="index.pqs was not closed"):
        forget(held)
    assert registered() == before


def test_snapshots_of_a_forgotten_handle_stay_good(create: Callable[..., Store]) -> None:
    before = registered()
    store = create()
    with store.write() as txn:
        txn.append(CODES)
    snapshot = store.read()
    held = [store]
    del store
    with pytest.warns(ResourceWarning):
        forget(held)
    np.testing.assert_array_equal(snapshot.codes_of(np.arange(10)), CODES)
    assert registered() == before + 1
    snapshot.close()


def test_a_forgotten_bulk_index_leaves_nothing(path: Path, create: Callable[..., Store]) -> None:
    held = [create(bulk=True)]
    with pytest.warns(ResourceWarning):
        forget(held)
    assert list(path.parent.iterdir()) == []


def test_closed_and_failed_handles_are_silent(path: Path, create: Callable[..., Store]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        create().close()

        def refuse(_: object) -> object:
            raise ValueError("no")

        before = registered()
        with pytest.raises(ValueError, match="no"):
            Store.open(path, refuse)  # type: ignore[arg-type]
        gc.collect()
        assert registered() == before


def test_garbage_that_is_found_while_references_are_counted_waits(
    create: Callable[..., Store], reopen: Callable[..., Store]
) -> None:
    """The collector may come within `share` of the same thread, which has the lock."""
    before = registered()
    held = [create()]
    with open_index._registry_lock, open_index._counting, pytest.warns(ResourceWarning):
        forget(held)
    assert registered() == before + 1
    reopen().close()
    assert registered() == before


def test_garbage_in_another_thread(create: Callable[..., Store]) -> None:
    before = registered()
    held = [create()]
    with pytest.warns(ResourceWarning):
        in_another_thread(held.clear)
    assert registered() == before


def test_the_end_of_the_process_is_silent(path: Path, create: Callable[..., Store]) -> None:
    create().close()
    code = """
    import sys
    from pqstore.storage import Store
    from tests.unit.storage.row_packing import RowPacking
    store = Store.open(sys.argv[1], lambda _: RowPacking(8))
    cycle = [store]; cycle.append(cycle)
    """
    command = [sys.executable, "-W", "always", "-c", textwrap.dedent(code), str(path)]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    assert done.stderr == ""


@pytest.mark.usefixtures("many_open")
def test_a_map_grows_with_its_file(create: Callable[..., Store]) -> None:
    with create(limits=TIGHT) as store:
        first = map_bytes(store)
        fill(store, 40)
        assert map_bytes(store) > first
        with store.read() as snapshot:
            np.testing.assert_array_equal(snapshot.codes_of(np.arange(790_000, 790_100)), BLOCK[10_000:10_100])
        assert store.verify(deep=True) == []


@pytest.mark.usefixtures("many_open")
def test_a_map_grows_beside_readers_that_come_and_go(create: Callable[..., Store]) -> None:
    with create(limits=TIGHT) as store:
        first, stop, seen = map_bytes(store), threading.Event(), []
        fill(store, 1)

        def read() -> None:
            while not stop.is_set():
                with store.read() as snapshot:
                    row = snapshot.total_rows - 1
                    seen.append(bool((snapshot.codes_of([row])[0] == BLOCK[-1]).all()))

        threads = [threading.Thread(target=read) for _ in range(3)]
        for thread in threads:
            thread.start()
        fill(store, 39)
        stop.set()
        for thread in threads:
            thread.join()
        assert map_bytes(store) > first
        assert seen
        assert all(seen)


@pytest.mark.usefixtures("many_open")
def test_a_snapshot_keeps_its_map_until_nothing_fits(create: Callable[..., Store]) -> None:
    with create(limits=TIGHT) as store:
        first = map_bytes(store)
        fill(store, 1)
        with store.read() as snapshot:
            with pytest.raises(StorageFullError, match="close snapshots"):
                fill(store, 100)
            assert map_bytes(store) == first
            np.testing.assert_array_equal(snapshot.codes_of(np.arange(100)), BLOCK[:100])
            rows = store.stats().live_rows
        fill(store, 1)  # with room again the same handle goes on
        assert map_bytes(store) > first
        assert store.stats().live_rows == rows + 20_000
        assert store.verify(deep=True) == []


@pytest.mark.usefixtures("many_open")
def test_another_process_makes_the_file_larger_than_the_map(path: Path, create: Callable[..., Store]) -> None:
    with create(limits=TIGHT) as store:
        code = """
        block = np.arange(8 * 20_000, dtype=np.uint8).reshape(20_000, 8)
        for _ in range(60):
            with store.write() as txn:
                txn.append(block)
        """
        first = map_bytes(store)
        with store.read() as old:
            with start_python(code, str(path)) as writer:
                assert writer.wait(120) == 0
            with pytest.raises(StorageFullError, match="close snapshots"):
                store.read()
            assert old.live_rows == 0
        with store.read() as snapshot:
            np.testing.assert_array_equal(snapshot.codes_of(np.arange(1_190_000, 1_190_100)), BLOCK[10_000:10_100])
        assert map_bytes(store) > first
        fill(store, 1)
        assert store.stats().live_rows == 61 * 20_000


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="descriptors cannot be counted here")
def test_descriptors_of_forgotten_handles_come_back(create: Callable[..., Store], reopen: Callable[..., Store]) -> None:
    create().close()
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        for _ in range(20):
            reopen()
        gc.collect()
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
