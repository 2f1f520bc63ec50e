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


@pytest.mark.parametrize(("name", "feature"), [("exact", records.EXACT_ROWS), ("trained", records.TRAINED_HERE)])
def test_an_earlier_version_leaves_them_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, feature: str
) -> None:
    path = unpacked(name, tmp_path)
    monkeypatch.setattr(records, "FEATURES", frozenset({records.NUMBERED_STATES}))
    with pytest.raises(FormatVersionError, match=rf"features unknown to this pqstore \({feature}\): upgrade pqstore"):
        pqstore.Index.open(path)
