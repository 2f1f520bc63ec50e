"""Maps that grow: where a process has many indexes open, or little room, theirs get larger with their files."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pqstore.errors import StorageFullError
from pqstore.storage import Store
from pqstore.storage.disk import address_space
from pqstore.storage.limits import Limits
from tests.forked import in_child
from tests.unit.storage.processes import start_python

TIGHT = Limits(least_map=1 << 20)
BLOCK = np.arange(8 * 20_000, dtype=np.uint8).reshape(20_000, 8)


@pytest.fixture
def many_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process has as many indexes open as get ample maps."""
    monkeypatch.setattr(address_space, "_reserved", 1 << 45)


def map_bytes(store: Store) -> int:
    with store.read() as snapshot:
        return snapshot.records.generation.environment.info()["map_size"]


def fill(store: Store, blocks: int) -> None:
    for _ in range(blocks):
        with store.write() as txn:
            txn.append(BLOCK)


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


FILLING = """
block = np.arange(8 * 20_000, dtype=np.uint8).reshape(20_000, 8)
for _ in range(60):
    with store.write() as txn:
        txn.append(block)
"""


@pytest.mark.usefixtures("many_open")
def test_another_process_fills_while_threads_read(path: Path, create: Callable[..., Store]) -> None:
    """Whoever finds the file larger than its map waits for the reads of other threads, which are short, and goes on."""
    with create(limits=TIGHT) as store:
        first, stop, failed = map_bytes(store), threading.Event(), []

        def read() -> None:
            try:
                while not stop.is_set():
                    with store.read() as snapshot:
                        rows = snapshot.total_rows
                        if rows:
                            np.testing.assert_array_equal(snapshot.codes_of([rows - 1])[0], BLOCK[-1])
            except BaseException as error:
                failed.append(error)

        threads = [threading.Thread(target=read) for _ in range(3)]
        for thread in threads:
            thread.start()
        with start_python(FILLING, str(path)) as writer:
            assert writer.wait(120) == 0
        stop.set()
        for thread in threads:
            thread.join()
        assert failed == []
        assert map_bytes(store) > first
        with Store.open(path, lambda _: store._packing_of({}), limits=TIGHT) as second:
            assert second.stats().live_rows == 60 * 20_000


@pytest.mark.usefixtures("many_open")
def test_a_second_handle_on_a_file_larger_than_its_map(
    path: Path, create: Callable[..., Store], reopen: Callable[..., Store]
) -> None:
    with create(limits=TIGHT) as store:
        first = map_bytes(store)
        with start_python(FILLING, str(path)) as writer:
            assert writer.wait(120) == 0
        with reopen() as second:  # looks at the index through the map of the first
            assert second.stats().live_rows == 60 * 20_000
        fill(store, 1)
        assert map_bytes(store) > first


@pytest.mark.usefixtures("many_open")
def test_a_fork_while_a_map_waits_to_be_replaced(path: Path, create: Callable[..., Store]) -> None:
    with create(limits=TIGHT) as store:
        fill(store, 1)
        snapshot = store.read()
        held = threading.Event()

        def write() -> None:
            held.set()
            fill(store, 39)

        def count() -> None:
            assert store.stats().live_rows % 20_000 == 0

        thread = threading.Thread(target=write)
        thread.start()
        held.wait()
        snapshot.close()
        assert in_child(count) == 0
        thread.join()
        assert store.stats().live_rows == 40 * 20_000
        assert store.verify(deep=True) == []


def test_a_small_process_fills_its_map_step_by_step(
    create: Callable[..., Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the address space is all but used up, a map has room for a quarter of its file more, and still grows."""
    monkeypatch.setattr(address_space, "_reserved", 1 << 47)
    with create(limits=Limits(least_map=8 << 20)) as store:
        sizes = set()
        for _ in range(60):
            fill(store, 1)
            sizes.add(map_bytes(store))
        assert len(sizes) > 3
        assert max(sizes) < 4 * store.stats().file_bytes
        assert store.verify(deep=True) == []


@pytest.mark.usefixtures("many_open")
def test_compaction_and_rebuilding_begin_with_a_map_by_the_file(create: Callable[..., Store], path: Path) -> None:
    with create(limits=TIGHT) as store:
        fill(store, 40)
        with store.write() as txn:
            txn.kill(np.arange(0, 800_000, 2))
        store.compact()
        fill(store, 40)
        store.backup(path.with_name("copy"))
        assert store.stats().live_rows == 400_000 + 800_000
        assert store.verify(deep=True) == []
