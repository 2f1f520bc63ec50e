"""An index against a dict and brute force: any order of add, replace, skip, remove, search, reopen and snapshot."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import pqstore
from tests.effort import tries
from tests.oracle import brute_force

D = 8


def quantizer(Ks: int) -> pqstore.PQ:
    vectors = np.random.default_rng(Ks).standard_normal((max(Ks, 64) * 2, D)).astype(np.float32)
    return pqstore.PQ(M=4, Ks=Ks, verbose=False).fit(vectors, iter=2)


QUANTIZERS = {Ks: quantizer(Ks) for Ks in (16, 50, 256, 300)}


class IndexMachine(RuleBasedStateMachine):
    """The model maps each id to its code; codes are drawn, so that equal distances are common."""

    id_type = "int64"

    @initialize(Ks=st.sampled_from(sorted(QUANTIZERS)), metric=st.sampled_from(["l2", "dot", "cosine"]))
    def create(self, Ks: int, metric: str) -> None:
        self.directory = Path(tempfile.mkdtemp())
        self.path = self.directory / "index"
        self.pq = QUANTIZERS[Ks]
        self.index = pqstore.Index.create(self.path, self.pq, id_type=self.id_type, metric=metric)
        self.model: dict = {}
        self.snapshots: list = []

    def as_id(self, number: int) -> int | str:
        return number if self.id_type == "int64" else f"id-{number}"

    def random_codes(self, count: int, seed: int) -> np.ndarray:
        # Few distinct values: many ties.
        return np.random.default_rng(seed).integers(0, min(self.pq.Ks, 5), (count, 4)).astype(self.pq.code_dtype)

    @rule(
        numbers=st.lists(st.integers(0, 60), max_size=40, unique=True),
        seed=st.integers(0, 1000),
        policy=st.sampled_from(["error", "skip", "replace"]),
    )
    def add(self, numbers: list[int], seed: int, policy: str) -> None:
        ids = [self.as_id(n) for n in numbers]
        codes = self.random_codes(len(ids), seed)
        if policy == "error" and any(id in self.model for id in ids):
            with pytest.raises(pqstore.DuplicateIdError):
                self.index.add_codes(codes, ids, on_conflict=policy)
            return
        self.index.add_codes(codes, ids, on_conflict=policy)
        for id, code in zip(ids, codes, strict=True):
            if not (policy == "skip" and id in self.model):
                self.model.pop(id, None)  # a replaced vector is the newest row
                self.model[id] = code

    @rule(count=st.integers(0, 300), seed=st.integers(0, 1000))
    def add_automatic(self, count: int, seed: int) -> None:
        codes = self.random_codes(count, seed)
        ids = self.index.add_codes(codes)
        assert len(ids) == count
        assert not set(ids.tolist()) & set(self.model)
        self.model.update(zip(ids.tolist(), codes, strict=True))

    @rule(numbers=st.lists(st.integers(0, 80), max_size=30), every=st.integers(1, 9))
    def remove(self, numbers: list[int], every: int) -> None:
        ids = [self.as_id(n) for n in numbers] + list(self.model)[::every][:50]
        known = {id for id in ids if id in self.model}
        if known < set(ids):
            with pytest.raises(pqstore.UnknownIdError):
                self.index.remove(ids)
        assert self.index.remove(ids, missing="ignore") == len(known)
        for id in known:
            del self.model[id]

    @rule()
    def reopen(self) -> None:
        self.drop_snapshots()
        self.index.close()
        self.index = pqstore.Index.open(self.path)

    @precondition(lambda self: len(self.snapshots) < 3)
    @rule()
    def take_snapshot(self) -> None:
        self.snapshots.append((self.index.snapshot(), dict(self.model)))

    @rule(seed=st.integers(0, 1000), k=st.integers(1, 40))
    def search(self, seed: int, k: int) -> None:
        queries = np.random.default_rng(seed).standard_normal((3, D)).astype(np.float32)
        for view, model in [(self.index, self.model), *self.snapshots]:
            ids, distances = view.search(queries, k=k)
            expected_ids, expected = brute_force(self.pq, self.index.metric, model, queries, k, self.id_type)
            np.testing.assert_array_equal(distances, expected)
            np.testing.assert_array_equal(ids, expected_ids)
            one = view.search(queries[0], k=k)
            np.testing.assert_array_equal(one.ids, ids[0])
            np.testing.assert_array_equal(one.distances, distances[0])

    @invariant()
    def same_content(self) -> None:
        if not hasattr(self, "index"):
            return
        assert len(self.index) == len(self.model)
        assert list(self.index) == list(self.model)
        if self.model:
            ids = list(self.model)[-7:]
            np.testing.assert_array_equal(self.index.codes(ids), [self.model[id] for id in ids])
            assert ids[0] in self.index
        assert self.as_id(-1) not in self.index
        for view, model in self.snapshots:
            assert list(view) == list(model)

    def drop_snapshots(self) -> None:
        for view, _ in self.snapshots:
            view.close()
        self.snapshots.clear()

    def teardown(self) -> None:
        if hasattr(self, "index"):
            self.drop_snapshots()
            assert self.index.verify(deep=True) == []
            self.index.close()
            shutil.rmtree(self.directory)


class NamedIndexMachine(IndexMachine):
    id_type = "str"


LIMITS = settings(
    max_examples=tries(12, 100), stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
IndexMachine.TestCase.settings = LIMITS
NamedIndexMachine.TestCase.settings = LIMITS
TestIntegerIds = IndexMachine.TestCase
TestStringIds = NamedIndexMachine.TestCase
