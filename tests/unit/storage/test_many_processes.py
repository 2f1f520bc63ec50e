"""Several threads and processes on one index: fork, readers that died, limits of a process."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pqstore.errors import (
    ForkedIndexError,
    PQStoreError,
    StorageFullError,
)
from pqstore.storage import Limits, Store
from tests.forked import in_child
from tests.unit.storage.processes import start_python
from tests.unit.storage.row_packing import RowPacking

Create = Callable[..., Store]


CODES = np.arange(80, dtype=np.uint8).reshape(10, 8)


def test_threads_share_one_snapshot(create: Create, rng: np.random.Generator) -> None:
    store = create()
    codes = rng.integers(0, 256, (20_000, 8), dtype=np.uint8)
    ids = rng.permutation(20_000)
    with store.write() as txn:
        txn.append(codes, ids)
    failures: list[object] = []
    with store.read() as snapshot:

        def read(seed: int) -> None:
            order = np.random.default_rng(seed).permutation(20_000)[:5000]
            rows = snapshot.rows_of(ids[order])
            if not (np.array_equal(rows, order) and np.array_equal(snapshot.codes_of(rows), codes[order])):
                failures.append(seed)
            if sum(chunk.rows for chunk in snapshot.chunks()) != 20_000:
                failures.append(seed)

        threads = [threading.Thread(target=read, args=(seed,)) for seed in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert failures == []
    store.close()


def test_readers_see_commits_and_a_compaction_of_another_process(create: Create) -> None:
    store = create()
    with store.write() as txn:
        txn.append(CODES)
    child = start_python(
        """
        for line in sys.stdin:
            with store.read() as snapshot:
                print(snapshot.live_rows, store.stats().generation, flush=True)
        """,
        str(store.path),
        "readonly",
    )
    assert child.stdin is not None
    assert child.stdout is not None

    def ask() -> str:
        child.stdin.write("?\n")
        child.stdin.flush()
        return child.stdout.readline().strip()

    assert ask() == "10 1"
    with store.write() as txn:
        txn.kill([0, 1, 2])
    assert ask() == "7 1"
    store.compact()
    with store.write() as txn:
        txn.append(CODES)
    assert ask() == "17 2"
    child.communicate()
    assert child.returncode == 0
    store.close()


def test_a_writer_of_another_process_follows_a_compaction(create: Create) -> None:
    """A process that had the old generation open must not write into it, where nobody would look again."""
    store = create()
    child = start_python(
        "store.read().close(); print('open', flush=True); sys.stdin.readline()\n"
        "with store.write() as txn: txn.append(CODES)",
        str(store.path),
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "open\n"
    store.compact()
    child.communicate("go\n")
    assert child.returncode == 0
    with store.read() as snapshot:
        assert snapshot.live_rows == 10
    store.close()


def test_a_forked_child_goes_on_with_the_index(create: Create) -> None:
    store = create()
    with store.write() as txn:
        txn.append(CODES)

    def work() -> None:
        with store.read() as snapshot:
            before = snapshot.live_rows
            assert before in (10, 30)
        with store.write() as txn:
            txn.append(CODES)
            assert txn.live_rows == before + 10

    assert in_child(work) == 0
    with store.read() as snapshot:
        assert snapshot.live_rows == 20

        def with_inherited_snapshot() -> None:
            with pytest.raises(ForkedIndexError, match="snapshot"):
                snapshot.chunks()
            with pytest.raises(ForkedIndexError, match="before the fork"):
                store.read()

        assert in_child(with_inherited_snapshot) == 0
        assert snapshot.live_rows == 20
        assert snapshot.ids_of([13]).tolist() == [13]
    with store.write() as txn:
        txn.append(CODES)
    assert in_child(work) == 0
    assert store.verify(deep=True) == []
    store.close()


def test_fork_while_other_threads_search_and_write(create: Create) -> None:
    store = create()
    stop = threading.Event()
    failures: list[BaseException] = []

    def busy(write: bool) -> None:
        try:
            while not stop.is_set():
                if write:
                    with store.write() as txn:
                        txn.append(CODES)
                else:
                    with store.read() as snapshot:
                        snapshot.chunks()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=busy, args=(write,)) for write in (True, False, False)]
    for thread in threads:
        thread.start()

    def work() -> None:
        with store.read() as snapshot:
            assert snapshot.live_rows == snapshot.total_rows
        with store.write(timeout=30) as txn:
            txn.append(CODES)

    statuses = [in_child(work) for _ in range(5)]
    stop.set()
    for thread in threads:
        thread.join()
    assert statuses == [0] * 5
    assert failures == []
    assert store.verify(deep=True) == []
    store.close()


def _add_rows(path: str, count: int) -> None:
    with Store.open(path, lambda _: RowPacking(8)) as store, store.write() as txn:
        txn.append(CODES[:count])


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_multiprocessing(create: Create, method: str) -> None:
    store = create()
    store.read().close()
    context = multiprocessing.get_context(method)
    process = context.Process(target=_add_rows, args=(str(store.path), 4))
    process.start()
    process.join()
    assert process.exitcode == 0
    with store.read() as snapshot:
        assert snapshot.live_rows == 4
    store.close()


def test_a_killed_reader_does_not_pin_for_ever(create: Create) -> None:
    store = create()
    with store.write() as txn:
        txn.append(CODES)
    child = start_python(
        "snapshot = store.read(); print('reading', flush=True); sys.stdin.readline()", str(store.path), "readonly"
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "reading\n"
    for _ in range(3):
        with store.write() as txn:
            txn.append(CODES)
    assert (store.stats().readers, store.stats().oldest_reader_lag) == (1, 3)
    child.send_signal(signal.SIGKILL)
    child.communicate()
    assert store.stats().readers == 0
    store.close()


def test_stats_tell_what_an_old_snapshot_pins(create: Create, rng: np.random.Generator) -> None:
    store = create()

    def add_and_remove() -> None:
        with store.write() as txn:
            txn.append(rng.integers(0, 256, (5000, 8), dtype=np.uint8))
        with store.write() as txn:
            txn.kill(np.arange(txn.rows.total_count))
        store.write().close()

    add_and_remove()
    assert store.stats().pinned_bytes == 0
    with store.read():
        for _ in range(4):
            add_and_remove()
        held = store.stats()
        assert 4 * 5000 * 8 <= held.pinned_bytes <= held.free_bytes
        assert held.oldest_reader_lag >= 8
    assert store.stats().pinned_bytes == 0
    assert store.stats().file_bytes == held.file_bytes  # given back by compact(), used again before
    store.close()


def test_readers_of_many_processes_see_whole_commits(create: Create) -> None:
    store = create()
    code = """
    print("reading", flush=True)
    last = 0
    while last < 600:
        with store.read() as snapshot:
            rows = snapshot.live_rows
            assert rows % 10 == 0 and rows >= last, (rows, last)
            assert sum(chunk.rows for chunk in snapshot.chunks()) == rows
            assert snapshot.rows_of(np.arange(rows)).tolist() == list(range(rows))
        last = rows
    """
    children = [start_python(code, str(store.path), "readonly") for _ in range(3)]
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == "reading\n"
    for _ in range(60):
        with store.write() as txn:
            txn.append(CODES)
    for child in children:
        child.communicate(timeout=60)
        assert child.returncode == 0
    store.close()


def test_slots_of_dead_readers_are_used_again(create: Create) -> None:
    store = create(limits=Limits(max_readers=4))
    with store.write() as txn:
        txn.append(CODES)
    code = "snapshots = [store.read() for _ in range(3)]; print('reading', flush=True); sys.stdin.readline()"
    for _ in range(3):
        child = start_python(code, str(store.path), "readonly")
        assert child.stdout is not None
        assert child.stdout.readline() == "reading\n"
        child.kill()
        child.communicate()
    snapshots = [store.read() for _ in range(4)]
    assert [snapshot.live_rows for snapshot in snapshots] == [10] * 4
    with pytest.raises(PQStoreError, match="too many snapshots"):
        store.read()
    snapshots.pop().close()
    with store.read() as snapshot:
        assert snapshot.live_rows == 10
    for snapshot in snapshots:
        snapshot.close()
    store.close()


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_AS limits the address space on Linux")
def test_an_address_space_limit(create: Create) -> None:
    import resource

    store = create()
    with store.write() as txn:
        txn.append(np.zeros((50_000, 8), dtype=np.uint8))
    store.close()

    def limited(space: int) -> None:
        used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        resource.setrlimit(resource.RLIMIT_AS, (used + space, used + space))

    def enough() -> None:
        limited(300 << 20)
        with Store.open(store.path, lambda _: RowPacking(8)) as reader:
            with reader.read() as snapshot:
                assert sum(chunk.rows for chunk in snapshot.chunks()) == 50_000
            with reader.write() as txn:
                txn.append(CODES)

    def too_little() -> None:
        limited(1 << 20)
        with pytest.raises((StorageFullError, MemoryError)):
            Store.open(store.path, lambda _: RowPacking(8))

    assert in_child(enough) == 0
    assert in_child(too_little) == 0
