"""One writer at a time: who waits, who gives up, whose turn it is."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable

import numpy as np
import pytest

from pqstore.errors import (
    IndexLockedError,
    PQStoreError,
)
from pqstore.storage import Store
from tests.unit.storage.processes import start_python

Create = Callable[..., Store]


CODES = np.arange(80, dtype=np.uint8).reshape(10, 8)


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
