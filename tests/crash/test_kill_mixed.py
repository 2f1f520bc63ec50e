"""Two writers and a reader on one index, all kinds of changes, and both writers killed: what each was told is there,
what it was told nothing of is there whole or not at all, and the reader has seen nothing torn."""

from __future__ import annotations

import os
import select
import shutil
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pqstore
from tests.effort import tries

ROUNDS = tries(5, 250)  # of two kills each
FIELDS = ["who", "n"]


class Model:
    """What one writer has stored: the version of each of its ids (-1: it has no vector), and the set that it keeps."""

    def __init__(self, who: int, seed: int) -> None:
        self.who = who
        self.rng = np.random.default_rng((seed, who))
        self.versions: dict[int, int] = {}
        self.kept: list[int] = []
        self.next = who

    def state(self) -> tuple[dict[int, int], list[int]]:
        return dict(self.versions), list(self.kept)

    def change(self) -> Callable[[pqstore.Index], Any]:  # noqa: PLR0911 # one an action
        """The next change, which the model has seen when this returns."""
        actions = ["add", "bare", "upsert", "give", "remove", "update", "replace", "compact"]
        action = str(self.rng.choice(actions, p=[0.2, 0.1, 0.15, 0.1, 0.1, 0.15, 0.15, 0.05]))
        if action == "add" or not self.versions:
            new = self._new(int(self.rng.choice([1, 5, 900])))
            return lambda index: index.add(vectors(new, 0), new, payloads=self._payloads(new, 0))
        if action == "bare":
            bare = self._new(int(self.rng.choice([1, 5, 300])), -1)
            return lambda index: index.add(None, bare, payloads=self._payloads(bare, -1))
        some = self.rng.choice(list(self.versions), min(len(self.versions), int(self.rng.choice([1, 300]))), False)
        some = [int(one) for one in some]
        if action == "upsert":
            version = max(self.versions[one] for one in some) + 1
            self.versions.update(dict.fromkeys(some, version))
            return lambda index: index.upsert(vectors(some, version), some, payloads=self._payloads(some, version))
        if action == "give":
            given = max(self.versions[one] for one in some) + 1
            self.versions.update(dict.fromkeys(some, given))
            return lambda index: self._give(index, some, given)
        if action == "remove":
            for one in some:
                del self.versions[one]
            return lambda index: index.remove(some)
        if action == "update":
            more = int(self.rng.integers(5))
            return lambda index: index.update_payload(some, {"more": more})
        if action == "compact":
            return lambda index: index.compact()
        return self._replace(int(self.rng.integers(7)))

    def _give(self, index: pqstore.Index, some: list[int], version: int) -> None:
        """Vectors, and payloads that tell of them: one transaction."""
        with index.transaction() as txn:
            txn.update_vector(some, vectors(some, version))
            txn.update_payload(some, {"version": version})

    def _replace(self, n: int) -> Callable[[pqstore.Index], Any]:
        """All of one number go, others come, and a set says which: one transaction."""
        for one in [one for one in self.versions if one % 7 == n]:
            del self.versions[one]
        new = self._new(20)
        self.kept = sorted(one for one in self.versions if one % 5 == 0)
        kept = list(self.kept)

        def work(index: pqstore.Index) -> None:
            with index.transaction() as txn:
                txn.delete({"$and": [{"who": self.who}, {"n": n}]})
                txn.add(vectors(new, 0), new, payloads=self._payloads(new, 0))
                txn.save_set(f"of {self.who}", kept)

        return work

    def _new(self, count: int, version: int = 0) -> list[int]:
        new = list(range(self.next, self.next + 2 * count, 2))
        self.next += 2 * count
        self.versions.update(dict.fromkeys(new, version))
        return new

    def _payloads(self, ids: list[int], version: int) -> list[dict[str, Any]]:
        return [{"who": self.who, "n": one % 7, "version": version} for one in ids]


def vectors(ids: list[int], version: int) -> np.ndarray:
    return np.sin(np.outer(np.array(ids) % 97 + 1, np.arange(1, 9)) + version).astype(np.float32)


def fork(work: Callable[[int], None]) -> tuple[int, int]:
    """A process that does it with a descriptor to write to; (pid, descriptor to read from)."""
    receiving, sending = os.pipe()
    pid = os.fork()
    if pid:
        os.close(sending)
        return pid, receiving
    status = 1
    try:
        os.close(receiving)
        work(sending)
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def writer(path: Path, who: int, seed: int, first: int) -> Callable[[int], None]:
    def work(sending: int) -> None:
        model = Model(who, seed)
        with pqstore.Index.open(path) as index:
            for number in range(first + 60):
                change = model.change()
                if number >= first:
                    change(index)
                    os.write(sending, b".")
            signal.pause()

    return work


def reader(path: Path, until: int) -> Callable[[int], None]:
    """Looks at one state after another until `until` can be read."""

    def work(sending: int) -> None:
        with pqstore.Index.open(path, readonly=True) as index:
            while not select.select([until], [], [], 0)[0]:
                with index.snapshot() as view:
                    check_records(record for page in pages(view) for record in page.records)
                    assert view.count({"who": 0}) + view.count({"who": 1}) == len(view)
                    hits = view.search(vectors([3], 0)[0], 5, rerank=20, where={"n": {"$lt": 4}}, include="payload")
                    assert all(hit["payload"]["version"] >= 0 for hit in hits.to_dicts())
                os.write(sending, b".")

    return work


def pages(view: Any, where: Any = None) -> Iterator[pqstore.ScrollPage]:
    after = None
    while True:
        page = view.scroll(where, limit=500, after=after, include=("payload", "vector"))
        yield page
        after = page.after
        if after is None:
            return


def check_records(records: Any) -> dict[int, int]:
    """Each has the vector that its payload tells; the versions, by id."""
    found = {}
    for record in records:
        version = record.payload["version"]
        assert (record.vector is None) == (version == -1)
        if version != -1:
            np.testing.assert_array_equal(record.vector, vectors([record.id], version)[0])
        assert record.id not in found
        found[record.id] = record.payload["version"]
    return found


def count_of(receiving: int, at_least: int = 0) -> int:
    """Dots read: until there are so many, or, with 0, to the end."""
    total = 0
    while received := os.read(receiving, 1 if at_least else 65_536):
        total += len(received)
        if total == at_least:
            break
    return total


def states_of(who: int, seed: int, done: int) -> list[Any]:
    """After `done` changes, and after one more."""
    model = Model(who, seed)
    for _ in range(done):
        model.change()
    before = model.state()
    model.change()
    return [before, model.state()]


def test_two_writers_killed_beside_a_reader(memory_path: Path, small_pq: pqstore.PQ) -> None:
    seed = int(np.random.default_rng().integers(2**32))
    print("seed", seed)
    rng = np.random.default_rng(seed)
    path, done, acknowledged, looks = memory_path / "0.pqs", [0, 0], 0, 0
    pqstore.Index.create(path, small_pq, originals="float32", fields=FIELDS).close()
    for round_ in range(ROUNDS):
        stop, stopping = os.pipe()
        reading = fork(reader(path, stop))
        writing = [fork(writer(path, who, seed, done[who])) for who in (0, 1)]
        new = [count_of(receiving, int(rng.integers(1, 6))) for _, receiving in writing]
        time.sleep(float(rng.exponential(0.05)))
        for pid, _ in writing:
            os.kill(pid, signal.SIGKILL)
        os.write(stopping, b"x")
        for who, (pid, receiving) in enumerate(writing):
            new[who] += count_of(receiving)
            os.close(receiving)
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
        looks += count_of(reading[1])
        os.close(reading[1])
        assert os.waitstatus_to_exitcode(os.waitpid(reading[0], 0)[1]) == 0, "the reader has seen what cannot be"
        os.close(stop)
        os.close(stopping)
        acknowledged += sum(new)
        with pqstore.Index.open(path) as index:
            assert index.verify(deep=True) == []
            for who in (0, 1):
                found = check_records(record for page in pages(index, {"who": who}) for record in page.records)
                kept = index.saved_set(f"of {who}").tolist() if f"of {who}" in index.sets else []
                states = states_of(who, seed, done[who] + new[who])
                assert (found, kept) in states
                done[who] += new[who] + int((found, kept) != states[0])
        if max(done) > 60:  # begin again, so that replaying the changes stays quick
            path, done, seed = memory_path / f"{round_ + 1}.pqs", [0, 0], seed + 1
            pqstore.Index.create(path, small_pq, originals="float32", fields=FIELDS).close()
    print(f"{2 * ROUNDS} kills, {acknowledged} changes acknowledged, none lost; {looks} states read")
    assert acknowledged >= 2 * ROUNDS


@pytest.mark.parametrize("threads", [6])
def test_threads_open_search_change_close_and_compact(memory_path: Path, small_pq: pqstore.PQ, threads: int) -> None:
    """A hammer: no crash, no wrong vector, nothing lost, an environment that comes and goes under others."""
    import threading

    path, ends = memory_path / "index.pqs", time.monotonic() + tries(4, 600)
    pqstore.Index.create(path, small_pq, originals="float32", fields=FIELDS).close()
    errors: list[BaseException] = []
    added: list[int] = []

    def strike(number: int) -> None:
        rng, calls, copy = np.random.default_rng(number), 0, memory_path / f"copy-{number}.pqs"
        try:
            while not calls or time.monotonic() < ends:
                with pqstore.Index.open(path) as index:
                    for _ in range(int(rng.integers(1, 8))):
                        action = str(rng.choice(["add", "search", "scroll", "compact", "verify", "backup"]))
                        if action == "add":
                            ids = [(number + threads * (calls + 1)) * 10 + at for at in range(3)]
                            payloads = [{"who": number, "n": 0, "version": 0}] * 3
                            index.add(vectors(ids, 0), ids, payloads=payloads)
                            added.extend(ids)
                        elif action == "search":
                            index.search(vectors([5], 0), k=5, where={"n": 0}, include=("payload", "vector"))
                        elif action == "scroll":
                            check_records(record for page in pages(index) for record in page.records)
                        elif action == "compact" and calls % 5 == 0:
                            index.compact()
                        elif action == "verify":
                            assert index.verify() == []
                        elif action == "backup" and calls % 5 == 0:
                            index.backup(copy)
                            with pqstore.Index.open(copy) as opened:
                                check_records(record for page in pages(opened) for record in page.records)
                            shutil.rmtree(copy)
                        calls += 1
        except BaseException as error:
            errors.append(error)

    hammers = [threading.Thread(target=strike, args=(number,)) for number in range(threads)]
    for hammer in hammers:
        hammer.start()
    for hammer in hammers:
        hammer.join()
    assert errors == []
    with pqstore.Index.open(path) as index:
        assert sorted(index) == sorted(added)
        assert index.verify(deep=True) == []
