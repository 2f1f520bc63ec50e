"""Lists beside any history: over all of them a search finds what a flat scan finds, to the bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pqstore
from pqstore.storage import SnapshotLists
from tests.effort import tries
from tests.oracle import brute_force
from tests.unit.index.listed import assert_all_lists_are_flat, small_segments

D = 64
SEGMENT_ROWS = 128  # whose codes take a page of LMDB, as those of every segment do
STEPS = tries(40, 300)


def quantizer(Ks: int) -> pqstore.PQ:
    vectors = np.random.default_rng(Ks).standard_normal((max(Ks, 64) * 2, D)).astype(np.float32)
    return pqstore.PQ(M=64 if Ks <= 16 else 32, Ks=Ks, verbose=False).fit(vectors, iter=2)


class History:
    """Random changes of an index, and a dict that follows them."""

    def __init__(self, path: Path, Ks: int, metric: Any, id_type: Any, seed: int) -> None:
        self.rng, self.path, self.id_type = np.random.default_rng(seed), path, id_type
        self.pq = quantizer(Ks)
        self.codes = self.rng.integers(0, Ks, (150, self.pq.M)).astype(self.pq.code_dtype)  # few, so many are as near
        self.index = pqstore.Index.create(path, self.pq, metric=metric, id_type=id_type)
        self.model: dict[Any, np.ndarray] = {}
        self.snapshots: list[tuple[Any, dict[Any, np.ndarray]]] = []

    def add(self) -> None:
        count = int(self.rng.choice([1, 50, 500]))
        numbers = self.rng.choice(1500, count, replace=False).tolist()
        ids = [number if self.id_type == "int64" else f"id-{number}" for number in numbers]
        codes = self.codes[self.rng.integers(0, len(self.codes), count)]
        self.index.add_codes(codes, ids, on_conflict="replace")
        self.model |= dict(zip(ids, codes, strict=True))

    def remove(self) -> None:
        ids = [id for id in self.model if self.rng.random() < self.rng.choice([0.02, 0.4])]
        self.index.remove(ids)
        for id in ids:
            del self.model[id]

    def partition(self) -> None:
        if len(self.model) > 20:
            self.index.partition([1, 3, 16, "auto"][self.rng.integers(4)])

    def drop(self) -> None:
        self.index.partition(None)

    def compact(self) -> None:
        self.index.compact()

    def reopen(self) -> None:
        self.close_snapshots()
        self.index.close()
        self.index = pqstore.Index.open(self.path)

    def snapshot(self) -> None:
        if len(self.snapshots) < 3:
            self.snapshots.append((self.index.snapshot(), dict(self.model)))

    def change(self) -> None:
        actions = [self.add, self.remove, self.partition, self.drop, self.compact, self.reopen, self.snapshot]
        self.rng.choice(actions, p=[0.4, 0.15, 0.2, 0.02, 0.05, 0.08, 0.1])()  # type: ignore[arg-type]

    def check_filtered(self) -> None:
        """However few lists are read, a search finds as many as are allowed, and nothing else."""
        share = self.rng.choice([0.005, 0.1, 0.8])
        allowed = {id for id in self.model if self.rng.random() < share}
        if self.rng.random() < 0.3:  # one code alone, which is in one list
            its = self.codes[self.rng.integers(len(self.codes))]
            allowed = {id for id, code in self.model.items() if (code == its).all()}
        k = int(self.rng.choice([1, 10, 200]))
        how: dict[str, Any] = [{}, {"scan": 1}, {"nprobe": 1}, {"nprobe": 2, "scan": 40}][self.rng.integers(4)]
        if self.index.stats().lists is None:
            how = {}
        queries = self.rng.standard_normal((3, D)).astype(np.float32)
        for ids in self.index.search(queries, k, allow=list(allowed), **how).ids:
            there = [id for id in ids.tolist() if id not in (-1, None)]
            assert len(there) == len(set(there)) == min(k, len(allowed)), how
            assert set(there) <= allowed

    def check(self) -> bool:
        """Whether there were lists."""
        self.check_filtered()
        queries = self.rng.standard_normal((3, D)).astype(np.float32)
        k = int(self.rng.choice([1, 7, 60]))
        for view, model in [(self.index, self.model), *self.snapshots]:
            listed = assert_all_lists_are_flat(view, queries, k)
            ids, distances = view.search(queries, k, nprobe="all")
            expected_ids, expected = brute_force(self.pq, self.index.metric, model, queries, k, self.id_type)
            np.testing.assert_array_equal(distances, expected)
            np.testing.assert_array_equal(ids, expected_ids)
            if listed and model:
                self.check_one_list(view, model, queries, k)
        return listed

    def check_one_list(self, view: Any, model: dict[Any, np.ndarray], queries: np.ndarray, k: int) -> None:
        """What is found is as near as it says, nearest first, and as much as there is."""
        ids, distances = view.search(queries, k, nprobe=1)
        count = min(k, len(model))
        for q, query in enumerate(queries):
            assert len(set(ids[q, :count].tolist())) == count
            mine = {id: model[id] for id in ids[q, :count].tolist()}
            expected_ids, expected = brute_force(self.pq, self.index.metric, mine, query[None], k, self.id_type)
            np.testing.assert_array_equal(distances[q], expected[0])
            np.testing.assert_array_equal(ids[q], expected_ids[0])

    def close_snapshots(self) -> None:
        for view, _ in self.snapshots:
            view.close()
        self.snapshots.clear()

    def close(self) -> None:
        self.close_snapshots()
        assert self.index.stats().faults == ()
        assert self.index.verify(deep=True) == []
        self.index.close()


@pytest.mark.parametrize("id_type", ["int64", "str"])
@pytest.mark.parametrize(("Ks", "metric"), [(16, "dot"), (50, "cosine"), (256, "l2"), (300, "l2")])
def test_lists_beside_any_history(tmp_path: Path, Ks: int, metric: str, id_type: str) -> None:
    seed = int(np.random.default_rng().integers(2**32))
    print("seed", seed)
    with small_segments(SEGMENT_ROWS):
        history = History(tmp_path / "index", Ks, metric, id_type, seed)
        for _ in range(3):
            history.add()
        history.partition()
        listed = [history.check()]
        for _ in range(STEPS):
            history.change()
            listed.append(history.check())
        assert any(listed)
        history.close()


def test_lists_follow_many_changes(tmp_path: Path) -> None:
    """A long history, with runs of several tiers; then the index is opened again, compacted and copied."""
    rng = np.random.default_rng(11)
    vectors = rng.standard_normal((4000, D)).astype(np.float32)
    pq = quantizer(50)
    queries = rng.standard_normal((4, D)).astype(np.float32)
    with small_segments(SEGMENT_ROWS):
        index = pqstore.Index.create(tmp_path / "index", pq)
        index.add(vectors[:1500])
        index.partition(16)
        for start in range(1500, 4000, 90):
            index.add(vectors[start : start + 90])
            if start % 4:
                index.remove(rng.choice(list(index), 30, replace=False))
            assert assert_all_lists_are_flat(index, queries, 12)
        assert index.stats().faults == ()
        with index._read() as reading:
            lists = SnapshotLists(reading.snapshot).read().lists
            assert 1 < len(lists.runs) < 14
            assert lists.rows > 0.6 * len(index)
        assert index.verify(deep=True) == []
        index.close()
        index = pqstore.Index.open(tmp_path / "index")
        assert assert_all_lists_are_flat(index, queries, 12)
        index.compact()
        with index._read() as reading:
            assert len(SnapshotLists(reading.snapshot).read().lists.runs) == 1
            assert len(SnapshotLists(reading.snapshot).read().pending) == 0
        assert assert_all_lists_are_flat(index, queries, 12)
        index.backup(tmp_path / "copy")
        with pqstore.Index.open(tmp_path / "copy") as copy:
            assert assert_all_lists_are_flat(copy, queries, 12)
            assert copy.verify(deep=True) == []
        index.close()
