"""Indexes that began without codes open, search and write as the version that made them left them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import pqstore
from pqstore.errors import FormatVersionError
from pqstore.storage.format import records

from . import golden_life
from .test_golden import unpacked


@pytest.mark.parametrize("name", ["exact", "trained"])
def test_life(tmp_path: Path, name: str) -> None:
    vectors, gone = golden_life.vectors(), golden_life.gone()
    left = np.setdiff1d(np.arange(golden_life.N), gone)
    with pqstore.Index.open(unpacked(name, tmp_path)) as index:
        assert index.phase == ("codes" if name == "trained" else "exact")
        assert index.verify(deep=True) == []
        assert sorted(index) == left.tolist()
        assert index.count({"n": 3}) == sum(1 for n in left if n < 500 and n % 7 == 3)
        assert index.sets == {"first": 5}
        found = index.search(vectors[left[:40]], k=1)
        assert found.distances[:, 0].tolist() == [0.0] * 40  # whole numbers are exact in float16
        assert index.get(int(left[9])).vector.tolist() == vectors[left[9]].tolist()
        assert index.add(vectors[:2]).tolist() == [700, 701]
        if name == "exact":
            assert index.train()
        index.retrain(pqstore.PQ(M=2, Ks=32, verbose=False))
        assert index.quantizer.M == 2
        assert index.verify(deep=True) == []


FEATURES = {
    "exact": records.EXACT_ROWS,
    "trained": records.TRAINED_HERE,
    "vectorless": records.VECTORLESS,
    "expiring": records.EXPIRY,
}
BEFORE = {"vectorless": {records.TRAINED_HERE}, "expiring": {records.EXACT_ROWS}}


@pytest.mark.parametrize(("name", "feature"), FEATURES.items())
def test_an_earlier_version_leaves_them_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, feature: str
) -> None:
    path = unpacked(name, tmp_path)
    known = {records.NUMBERED_STATES, *BEFORE.get(name, ())}
    monkeypatch.setattr(records, "FEATURES", frozenset(known))
    with pytest.raises(FormatVersionError, match=rf"features unknown to this pqstore \({feature}\): upgrade pqstore"):
        pqstore.Index.open(path)


def test_rows_without_a_vector(tmp_path: Path) -> None:
    without = [1, 2, *range(1000, 1020)]
    with pqstore.Index.open(unpacked("vectorless", tmp_path)) as index:
        for _ in range(2):
            assert index.verify(deep=True) == []
            assert [record.vector is None for record in index.get([*without, 4])] == [True] * 22 + [False]
            assert index.get(1000).payload is None
            assert index.get(1001).payload == {"n": 9}
            assert index.get(1).payload == {"n": 1, "text": "row 1"}
            assert index.count({"n": 9}) == 10
            assert index.stats().without_vector == 22
            assert not set(without) & set(index.search(golden_life.vectors()[1], k=900).ids.tolist())
            index.compact()
        assert index.update_vector(1000, golden_life.vectors()[1]) == 1
        assert 1000 in index.search(golden_life.vectors()[1], k=20).ids
        assert index.add(None, payloads=[{"n": 1}]).tolist() == [1020]
        assert index.verify(deep=True) == []


def test_vectors_that_expire(tmp_path: Path) -> None:
    left = np.setdiff1d(np.arange(golden_life.N), golden_life.gone())
    now = golden_life.END.timestamp() + 300
    alive = [n for n in left.tolist() if n % 3 or n > 300]
    with pqstore.Index.open(unpacked("expiring", tmp_path), clock=lambda: now) as index:
        assert index.expiry == "until"
        for _ in range(2):
            assert index.verify(deep=True) == []
            assert sorted(index) == alive
            found = index.search(golden_life.vectors()[0], k=golden_life.N).ids
            assert sorted(found[found >= 0].tolist()) == alive
            index.compact()
        assert index.add(golden_life.vectors()[:1], [300]).tolist() == [300]
        assert index.verify(deep=True) == []
