"""What a thread of the parent has taken is free in a forked child."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

import pqstore
from pqstore.storage.disk import address_space, data_file
from pqstore.storage.disk.process_lock import ProcessLock
from tests.forked import in_child

LOCKS = {"addresses": address_space._reserved_lock, "position": data_file._position, "another": ProcessLock()}


@contextmanager
def held_by_a_thread(lock: ProcessLock) -> Iterator[None]:
    taken, over = threading.Event(), threading.Event()

    def hold() -> None:
        with lock:
            taken.set()
            over.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    taken.wait()
    try:
        yield
    finally:
        over.set()
        thread.join()


@pytest.mark.parametrize("name", LOCKS)
def test_a_child_is_not_kept_by_a_thread_that_it_does_not_have(name: str, tmp_path: Path) -> None:
    with pqstore.Index.create(tmp_path / "index", dim=4) as index:
        index.add(np.eye(4, dtype=np.float32))

    def work() -> None:
        signal.alarm(60)  # ends a child that hangs
        with LOCKS[name], pqstore.Index.open(tmp_path / "index") as opened:
            assert opened.verify(deep=True) == []

    with held_by_a_thread(LOCKS[name]):
        assert in_child(work) == 0


def test_one_thread_at_a_time_and_the_same_again() -> None:
    lock = ProcessLock()
    others = []
    with lock, lock:
        thread = threading.Thread(target=lambda: others.append(lock.__enter__()))
        thread.start()
        thread.join(0.05)
        assert others == []
    thread.join()
    assert others == [None]
