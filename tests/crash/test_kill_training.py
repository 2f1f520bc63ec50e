"""Killed with SIGKILL while an index trains itself or is trained anew, beside a writer that is killed too: what each
was told is there, whole, and the next training goes on or begins anew.

A few kills in the ordinary run, 300 in `make nightly`; every named point of training and retraining in both.
"""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pqstore
from pqstore.storage.disk import crash_points
from tests.effort import AT_NIGHT, tries
from tests.forked import in_child

from .test_kill_mixed import FIELDS, Model, check_records, count_of, fork, pages, vectors, writer

ROUNDS = tries(4, 150)  # of two kills each
N = 1500
KINDS = ("training", "retraining", "retraining with lists")


def small(**options: Any) -> dict[str, Any]:
    wish = pqstore.PQ(M=4, Ks=16, verbose=False)
    return {"quantizer": wish, "dim": 8, "originals": "float32", "fields": FIELDS, "train": "manual", **options}


def left_behind(path: Path) -> list[str]:
    return [entry.name for entry in path.iterdir() if "unfinished" in entry.name or "rebuilding" in entry.name]


def prepared(path: Path, kind: str) -> None:
    with pqstore.Index.create(path, **small()) as index:
        ids = list(range(N))
        index.add(vectors(ids, 0), ids, payloads=[{"who": 0, "n": one % 7, "version": 0} for one in ids])
        index.save_set("kept", range(0, N, 3))
        index.remove(range(0, N, 50))
        if kind != "training":
            index.train()
        if kind == "retraining with lists":
            index.partition(3)


def train(index: pqstore.Index, M: int = 8) -> None:
    """In blocks that are small enough for a small index to have several."""
    quantizer = pqstore.PQ(M=M, Ks=16, verbose=False)
    index.retrain(quantizer) if index.phase == "codes" else index.train(quantizer)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pqstore.storage.upkeep.rebuilt_copy._WITH_PAYLOADS", 500)


def points_of(path: Path) -> Counter[str]:
    """The points that a training of this index comes to, and how often."""
    seen: Counter[str] = Counter()
    copy = path.with_name("observed.pqs")
    shutil.copytree(path, copy)
    crash_points.observe(lambda name: seen.update([name]))
    try:
        with pqstore.Index.open(copy) as index:
            train(index)
    finally:
        crash_points.observe(None)
    shutil.rmtree(copy)
    return seen


@pytest.mark.parametrize("kind", KINDS)
def test_killed_at_every_point(memory_path: Path, kind: str) -> None:
    start = memory_path / "start.pqs"
    prepared(start, kind)
    points = points_of(start)
    wanted = {"rebuilding begun", "rows rebuilt", "originals written", "before commit", "index rebuilt beside"}
    assert wanted | {"generation switched", "old generation marked"} <= points.keys()
    assert ("list table written" in points) == (kind == "retraining with lists")
    for point, count in points.items():
        for occurrence in sorted({1, 1 + count // 2, count} if AT_NIGHT else {1 + count // 2}):
            path = memory_path / "index.pqs"
            shutil.copytree(start, path)
            die_in_training(path, point, occurrence)
            switched = point in ("generation switched", "old generation marked")
            look(path, kind, switched)
            shutil.rmtree(path)


def die_in_training(path: Path, point: str, occurrence: int) -> None:
    left = [occurrence]

    def die(name: str) -> None:
        left[0] -= name == point
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def work() -> None:
        with pqstore.Index.open(path) as index:
            crash_points.observe(die)
            train(index)

    assert in_child(work) == -signal.SIGKILL, (point, occurrence)


def look(path: Path, kind: str, switched: bool) -> None:
    """The one or the other, whole; and trained in the end."""
    with pqstore.Index.open(path) as index:
        for turn in range(2):
            trained = switched or turn == 1
            assert index.phase == ("codes" if trained or kind != "training" else "exact")
            assert (index.quantizer.kind, index.quantizer.M) == ("PQ", 8 if trained else 4)
            assert (index.stats().lists is not None) == (kind == "retraining with lists")
            found = check_records(record for page in pages(index) for record in page.records)
            assert sorted(found) == [one for one in range(N + turn) if one % 50 or one == N]
            assert index.saved_set("kept").tolist() == list(range(0, N, 3))
            assert index.verify(deep=True) == []
            if turn == 0:
                index.add(vectors([N], 0), [N], payloads=[{"who": 0, "n": N % 7, "version": 0}])
                train(index)
    assert left_behind(path) == []


def sizes_of(seed: int) -> list[int]:
    """M of one training after another."""
    rng, sizes = np.random.default_rng((seed, 7)), [4]
    while len(sizes) < 2000:
        sizes.append(int(rng.choice([M for M in (2, 4, 8) if sizes[-1] != M])))
    return sizes


def trainer(path: Path, seed: int, first: int) -> Callable[[int], None]:
    def work(sending: int) -> None:
        with pqstore.Index.open(path) as index:
            for M in sizes_of(seed)[first + 1 :]:
                train(index, M)
                os.write(sending, b".")

    return work


def test_killed_at_random_beside_a_writer(memory_path: Path) -> None:
    seed = int(np.random.default_rng().integers(2**32))
    print("seed", seed)
    rng = np.random.default_rng(seed)
    path, done, trained = memory_path / "0.pqs", 0, 0
    totals: Counter[str] = Counter()
    begin(path)
    for round_ in range(ROUNDS):
        training = fork(trainer(path, seed, trained))
        writing = fork(writer(path, 0, seed, done))
        written = count_of(writing[1], int(rng.integers(1, 4)))
        time.sleep(float(rng.exponential(0.4)))
        for pid, _ in (training, writing):
            os.kill(pid, signal.SIGKILL)
        for pid, _ in (training, writing):
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
        written, new = written + count_of(writing[1]), count_of(training[1])
        for _, receiving in (training, writing):
            os.close(receiving)
        totals.update(written=written, trained=new, unfinished=len(left_behind(path)))
        sizes = sizes_of(seed)[trained + new :][:2]
        with pqstore.Index.open(path) as index:
            assert index.verify(deep=True) == []
            assert index.phase == ("exact" if index.quantizer.M == 4 and trained + new == 0 else "codes")
            assert index.quantizer.M in sizes
            found = check_records(record for page in pages(index, {"who": 0}) for record in page.records)
            kept = index.saved_set("of 0").tolist() if "of 0" in index.sets else []
            states = states_after(seed, done + written)
            assert (found, kept) in states
            done += written + int((found, kept) != states[0])
            trained += new + sizes.index(index.quantizer.M)
        if done > 40:  # begin again, so that replaying the changes stays quick, and that there are first trainings
            path, done, trained, seed = memory_path / f"{round_ + 1}.pqs", 0, 0, seed + 1
            begin(path)
    print(
        f"{2 * ROUNDS} kills, {totals['written']} changes and {totals['trained']} trainings acknowledged, none lost; "
        f"{totals['unfinished']} kills left a training to go on with"
    )


def begin(path: Path) -> None:
    """Enough vectors of nobody's to train on."""
    with pqstore.Index.create(path, **small()) as index:
        ids = list(range(10**6, 10**6 + N))
        index.add(vectors(ids, 0), ids, payloads=[{"who": 2, "n": 8, "version": 0} for _ in ids])


def states_after(seed: int, done: int) -> list[Any]:
    model = Model(0, seed)
    for _ in range(done):
        model.change()
    before = model.state()
    model.change()
    return [before, model.state()]
