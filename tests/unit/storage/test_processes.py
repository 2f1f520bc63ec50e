"""Several threads and processes on one index: locks, fork, readers that died, places that cannot be written."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pqstore.errors import (
    ForkedIndexError,
    IndexLockedError,
    PQStoreError,
    ReadOnlyError,
    StorageFullError,
)
from pqstore.storage import Limits, Store
from pqstore.storage.disk.data_file import LOCK_FILE
from pqstore.storage.disk.directory import generation_path
from tests.forked import in_child

from .row_packing import RowPacking

Create = Callable[..., Store]
CODES = np.arange(80, dtype=np.uint8).reshape(10, 8)
ROOT = Path(__file__).parents[3]


def start_python(code: str, *arguments: str, **options: object) -> subprocess.Popen[str]:
    prelude = "import sys, numpy as np\nfrom pqstore.storage import Store\n"
    prelude += "from tests.unit.storage.row_packing import RowPacking\n"
    prelude += "CODES = np.arange(80, dtype=np.uint8).reshape(10, 8)\n"
    prelude += "store = Store.open(sys.argv[1], lambda _: RowPacking(8), readonly=len(sys.argv) > 2)\n"
    return subprocess.Popen(  # type: ignore[call-overload,no-any-return]
        [sys.executable, "-c", prelude + textwrap.dedent(code), *arguments],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        **options,
    )


def test_a_second_writer_waits_and_gives_up(create: Create) -> None:
    store = create()
    child = start_python(
        "with store.write() as txn:\n    print('in', flush=True); sys.stdin.readline(); txn.append(CODES)",
        str(store.path),
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "in\n"
    with pytest.raises(IndexLockedError, match="another process"):
        store.write(timeout=0.1)
    with store.read() as snapshot:
        assert snapshot.live_rows == 0  # readers do not wait
    child.communicate("go\n")
    assert child.returncode == 0
    with store.write(timeout=10) as txn:
        assert txn.live_rows == 10
        with pytest.raises(PQStoreError, match="this thread"):
            store.write(timeout=0.1)
        errors: list[BaseException] = []

        def other() -> None:
            try:
                store.write(timeout=0.1)
            except IndexLockedError as error:
                errors.append(error)

        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        assert "another thread" in str(errors[0])
    store.close()


def test_writers_of_threads_and_processes_take_turns(create: Create) -> None:
    store = create()
    code = "for _ in range(20):\n    with store.write() as txn: txn.append(CODES)"
    children = [start_python(code, str(store.path)) for _ in range(2)]

    def write() -> None:
        for _ in range(20):
            with store.write() as txn:
                txn.append(CODES)

    threads = [threading.Thread(target=write) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for child in children:
        child.communicate()
        assert child.returncode == 0
    with store.read() as snapshot:
        assert snapshot.live_rows == 800
        assert np.array_equal(np.sort(snapshot.ids_of(np.arange(800))), np.arange(800))
    assert store.verify(deep=True) == []
    store.close()


def test_a_writer_that_comes_back_at_once_does_not_keep_others_out(create: Create) -> None:
    store = create()
    child = start_python(
        """
        import threading
        stop = threading.Thread(target=sys.stdin.readline, daemon=True)
        stop.start()
        print("writing", flush=True)
        while stop.is_alive():
            with store.write() as txn:
                txn.append(CODES)
        """,
        str(store.path),
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "writing\n"
    for _ in range(20):
        with store.write(timeout=20) as txn:
            txn.append(CODES)
    child.communicate("stop\n")
    assert child.returncode == 0
    store.close()


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


def test_a_missing_lock_file_is_made_again(create: Create, reopen: Create) -> None:
    store = create()
    lock_file = generation_path(store.path, 1) / LOCK_FILE
    store.close()
    lock_file.unlink()
    store = reopen()
    with store.write() as txn:
        txn.append(CODES)
    # Removed under a live index: readers of other processes would no longer be seen.
    lock_file.unlink()
    snapshot = store.read()
    with pytest.raises(PQStoreError, match="lock file was removed"):
        store.write()
    snapshot.close()
    with store.write() as txn:
        txn.append(CODES)
    assert lock_file.exists()
    with store.read() as snapshot:
        assert snapshot.live_rows == 20
    store.close()


@pytest.mark.skipif(os.getuid() != 0, reason="becomes another user in a child, which only root can")
@pytest.mark.parametrize("lockable", [False, True])
def test_a_directory_of_somebody_else(create: Create, tmp_path: Path, lockable: bool) -> None:
    store = create()
    with store.write() as txn:
        txn.append(CODES)
    store.close()
    private = [parent for parent in tmp_path.parents if parent.stat().st_mode & 0o077 == 0]
    for entry in (tmp_path, *private, store.path, *store.path.rglob("*")):
        entry.chmod(0o755 if entry.is_dir() else 0o444)
    if lockable:
        (generation_path(store.path, 1) / LOCK_FILE).chmod(0o666)

    def work() -> None:
        os.setuid(65534)
        with Store.open(store.path, lambda _: RowPacking(8), readonly=True) as reader, reader.read() as snapshot:
            assert snapshot.live_rows == 10
            assert len(snapshot.chunks()) == 1
        with pytest.raises(ReadOnlyError):
            Store.open(store.path, lambda _: RowPacking(8))
        with pytest.raises(ReadOnlyError):
            Store.create(store.path.with_name("new"), {}, {}, RowPacking(8))

    assert in_child(work) == 0


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


def test_an_interrupted_wait_for_the_lock_leaves_it_free(create: Create) -> None:
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where tests run in the background
    store = create()
    child = start_python(
        "with store.write() as txn:\n    print('in', flush=True); sys.stdin.readline()", str(store.path)
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "in\n"
    timer = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    started = time.monotonic()
    try:
        with pytest.raises(KeyboardInterrupt):
            store.write(timeout=30)
    finally:
        signal.signal(signal.SIGINT, previous)
    assert time.monotonic() - started < 25  # it was the interrupt, not the timeout
    timer.join()
    child.communicate("go\n")
    with store.write(timeout=10) as txn:
        txn.append(CODES)
    store.close()
