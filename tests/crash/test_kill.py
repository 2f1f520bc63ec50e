"""A writer killed with SIGKILL, at every named point and at random: what was acknowledged is there, nothing is torn.

50 random kills, 500 in `make nightly`. What a killed process
wrote is the kernel's already, so the ordinary run happens in memory; a night's runs write to the disk.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from copy import copy
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import pqstore
from pqstore.storage import Store, WriteTransaction
from pqstore.storage.disk.crash_points import POINTS, observe
from tests.effort import AT_NIGHT, tries
from tests.unit.storage.attached import attached, save_some
from tests.unit.storage.listed import assign

from .workload import OFTEN, PACKING, Rows, apply, changes, check, contents, create

RUNS = tries(50, 500)
# (seed, at which occurrence of a point to die); the late one takes hundreds of commits, and is for a night.
DEATHS = ((1, 1), (2, 2), (3, 7)) if AT_NIGHT else ((1, 1), (2, 2))
PARTS = 5  # of the random kills, which can run at the same time


@pytest.fixture
def place(tmp_path: Path, memory_path: Path) -> Path:
    return tmp_path if AT_NIGHT else memory_path


def start_writer(path: Path, seed: int, first: int, observer: Callable[[str], None] | None) -> tuple[int, int]:
    """Fork a process that makes changes from number `first` on; (pid, descriptor on which it says "o" when it has the
    index open, and acknowledges each change with a dot)."""
    receiving, sending = os.pipe()
    pid = os.fork()
    if pid:
        os.close(sending)
        return pid, receiving
    status = 1
    try:
        observe(observer)
        store = Store.open(path, lambda _: PACKING, limits=OFTEN) if path.exists() else create(path, limits=OFTEN)
        os.write(sending, b"o")
        for number, (change, _) in zip(range(300), changes(seed), strict=False):
            if number >= first:
                apply(store, change)
                os.write(sending, b".")
        status = 0
    finally:
        os._exit(status)


def acknowledged(receiving: int) -> int:
    """How many changes were acknowledged, once the writer is dead."""
    total = 0
    while received := os.read(receiving, 65_536):
        total += received.count(b".")
    os.close(receiving)
    return total


def states(seed: int, done: int) -> list[Rows]:
    """Rows after `done` changes, and after one more."""
    found: list[Rows] = [{}] if done == 0 else []
    for number, (_, rows) in enumerate(changes(seed), 1):
        if number >= done:
            found.append(copy(rows))
        if number == done + 1:
            return found
    raise AssertionError


def outcome(path: Path, seed: int, done: int) -> int:
    """Check an index whose writer has died; how many changes it holds."""
    before, after = states(seed, done)
    with Store.open(path, lambda _: PACKING, limits=OFTEN) as store:
        store.assign_with(assign)
        assert store.verify(deep=True) == []
        with store.read() as snapshot:
            found = contents(snapshot)
    assert found in (before, after)
    return done if found == before else done + 1


@pytest.mark.parametrize("point", POINTS)
def test_killed_at_a_named_point(place: Path, point: str) -> None:
    for seed, occurrence in DEATHS:
        path = place / f"{seed}.pqs"
        if point != POINTS[0]:
            create(path, limits=OFTEN).close()
        elif occurrence > 1:
            continue  # an index is created once
        if point == "lists dropped" and occurrence > 2:
            continue  # the writer comes to its end before it has dropped lists so often
        left = [occurrence]

        def die(name: str, left: list[int] = left) -> None:
            if name == point:
                left[0] -= 1
                if left[0] == 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        pid, receiving = start_writer(path, seed, 0, die)
        done = acknowledged(receiving)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
        if point == POINTS[0]:
            assert not path.exists()
            create(path, limits=OFTEN).close()
        outcome(path, seed, done)
        with Store.open(path, lambda _: PACKING, limits=OFTEN) as store:
            before = store.stats().live_rows
            with store.write() as txn:
                codes = np.zeros((1, 8), dtype=np.uint8)
                ids = txn.next_id + np.arange(1) if txn.next_id < 2**63 else [5]
                txn.append(codes, ids, **attached(codes))
            store.compact()
            assert store.verify(deep=True) == []
            assert store.stats().live_rows == before + 1
        assert [
            entry.name for entry in path.iterdir() if "unfinished" in entry.name or "rebuilding" in entry.name
        ] == []


@pytest.mark.parametrize("part", range(PARTS))
def test_killed_at_random(place: Path, part: int) -> None:
    rng = np.random.default_rng()
    seed = int(rng.integers(2**32))
    print("seed", seed)
    rng = np.random.default_rng(seed)
    path, done, acknowledged_in_all = place / "index.pqs", 0, 0
    create(path, limits=OFTEN).close()
    runs = range(part, RUNS, PARTS)
    for _ in runs:
        pid, receiving = start_writer(path, seed, done, None)
        opened = rng.random() < 0.8  # the others may die while they open the index
        heard = os.read(receiving, 1) if opened else b""
        if rng.random() < 0.5:  # within some change; else, now and then, long enough for any change
            heard += b"".join(os.read(receiving, 1) for _ in range(int(rng.integers(1, 6))))
            time.sleep(float(rng.exponential(0.01)))
        else:
            time.sleep(float(rng.exponential(0.15)))
        os.kill(pid, signal.SIGKILL)
        new = heard.count(b".") + acknowledged(receiving)
        os.waitpid(pid, 0)
        acknowledged_in_all += new
        done = outcome(path, seed, done + new)
        if done > 60:  # begin again, so that replaying the changes stays quick
            path = place / f"{int(rng.integers(2**32))}.pqs"
            create(path, limits=OFTEN).close()
            seed, done = seed + 1, 0
    print(f"{len(runs)} kills, {acknowledged_in_all} changes acknowledged, none lost")


def add_with_set(codes: np.ndarray, ids: np.ndarray, txn: WriteTransaction) -> None:
    txn.append(codes, ids, **attached(codes))
    save_some(txn)


# An interrupt may come between the opening of a file and the statement that closes it, or inside a destructor.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_interrupted_at_random(memory_path: Path) -> None:
    """SIGINT (Ctrl-C) in the middle of a call: the call has happened or not, and the handle goes on."""
    rng = np.random.default_rng(4)
    path = memory_path / "index.pqs"
    store = create(path, limits=OFTEN)
    rows: Rows = {}
    interrupted = 0
    previous = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        for _ in range(80):
            ids = rng.integers(-(2**63), 2**63 - 1, int(rng.choice([1, 2000])))
            codes = rng.integers(0, 256, (len(ids), 8), dtype=np.uint8)
            after = {
                **rows,
                **{identifier: code.tobytes() for identifier, code in zip(ids.tolist(), codes, strict=True)},
            }
            try:
                signal.setitimer(signal.ITIMER_REAL, float(rng.uniform(0.00005, 0.004)))
                store.change(partial(add_with_set, codes, ids), timeout=5)
                signal.setitimer(signal.ITIMER_REAL, 0)
            except KeyboardInterrupt:
                interrupted += 1
            with store.read() as snapshot:
                found = contents(snapshot)
            assert found in (rows, after)
            rows = found
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    assert interrupted > 10
    store.close()
    check(path, rows, limits=OFTEN)


def test_interrupted_in_the_middle_of_an_add(memory_path: Path, small_pq: pqstore.PQ) -> None:
    """Ctrl-C while vectors are read, after some blocks are in the transaction."""
    vectors = np.random.default_rng(5).standard_normal((1000, 8)).astype(np.float32)

    def blocks() -> Iterator[np.ndarray]:
        for number in range(5):
            if number == 3:
                raise KeyboardInterrupt
            yield vectors

    with pqstore.Index.create(memory_path / "index", small_pq) as index:
        index.add(vectors)
        with pytest.raises(KeyboardInterrupt):
            index.add(blocks())
        assert len(index) == 1000
        np.testing.assert_array_equal(index.add(vectors[:2]), [1000, 1001])
        assert index.verify(deep=True) == []
