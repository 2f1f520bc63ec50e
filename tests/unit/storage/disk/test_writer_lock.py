"""One writer at a time: who waits, who gives up, whose turn it is."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

import numpy as np
import pytest

from pqstore.errors import (
    IndexLockedError,
    PQStoreError,
)
from pqstore.storage import Store
from tests.effort import tries
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


def interrupt_at(step: int) -> tuple[Callable[[FrameType, str, Any], None], list[int]]:
    """A profile function that raises KeyboardInterrupt at one of the places where Python does: where a function is
    entered, and after a call into C. Counted from the first function of pqstore; and how many are left before it."""
    left, inside = [step], [False]

    def profile(frame: FrameType, event: str, argument: Any) -> None:
        inside[0] |= "/pqstore/" in frame.f_code.co_filename
        if inside[0] and event in ("call", "c_return"):
            left[0] -= 1
            if left[0] == 0:
                sys.setprofile(None)
                raise KeyboardInterrupt

    return profile, left


# An interrupt may come inside a destructor, where Python only reports it.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("removed", [False, True])
def test_interrupted_at_every_step_the_lock_is_free(create: Create, removed: bool) -> None:
    """An interrupt between the commit and the release left the lock held for all processes, as long as somebody kept
    the traceback. `removed`: the lock file is, before each call, which makes it anew."""
    store = create()
    kept: list[BaseException] = []
    step, finished, rows = 0, False, 0
    while not finished:
        step += 1
        if removed:
            (store.path / "writer.lock").unlink(missing_ok=True)
        profile, left = interrupt_at(step)
        sys.setprofile(profile)
        try:
            store.change(lambda txn: txn.append(CODES))
            finished = left[0] > 0  # otherwise it came inside a destructor
        except KeyboardInterrupt as error:
            kept.append(error)  # as an interactive session keeps it, with all its frames
        finally:
            sys.setprofile(None)
        assert not store._reference.shared().writer.is_mine()
        with store.read() as snapshot:
            assert snapshot.live_rows in (rows, rows + 10)
            rows = snapshot.live_rows
        if step % 25 == 0:
            store.change(lambda txn: txn.append(CODES), timeout=0)
            rows += 10
    assert step > 100
    child = start_python("with store.write(timeout=0) as txn: txn.append(CODES)", str(store.path))
    child.communicate()
    assert child.returncode == 0
    assert store.verify(deep=True) == []
    kept.clear()
    store.close()


# An interrupt may come inside a destructor, where Python only reports it.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_interrupted_at_random_the_lock_is_free(create: Create, rng: np.random.Generator) -> None:
    """By a signal, at any bytecode, and with tracebacks kept."""
    store = create()
    kept: list[BaseException] = []
    previous = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        for _ in range(tries(200, 5000)):
            try:
                signal.setitimer(signal.ITIMER_REAL, float(rng.uniform(0.00005, 0.0015)))
                store.change(lambda txn: txn.append(CODES), timeout=5)
                signal.setitimer(signal.ITIMER_REAL, 0)
            except KeyboardInterrupt as error:
                kept.append(error)
            except PQStoreError as error:
                signal.setitimer(signal.ITIMER_REAL, 0)
                raise AssertionError("the call before left something") from error
            kept = kept[-20:]
            assert not store._reference.shared().writer.is_mine()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    assert kept
    store.change(lambda txn: txn.append(CODES), timeout=0)
    with store.read() as snapshot:
        assert snapshot.live_rows % 10 == 0
    assert store.verify(deep=True) == []
    store.close()


def test_a_timeout_may_be_without_end(create: Create) -> None:
    store = create()
    store.change(lambda txn: txn.append(CODES), timeout=float("inf"))
    with store.write(timeout=1e30) as txn:
        assert txn.live_rows == 10
    store.close()
