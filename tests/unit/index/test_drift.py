"""The codebook no longer fits when the data have moved, and fits again after it was trained anew."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

import pqstore


@pytest.mark.parametrize("metric", ["l2", "cosine"])
def test_drift_is_seen_and_mended(tmp_path: Path, metric: str) -> None:
    rng = np.random.default_rng(3)
    home, abroad = rng.standard_normal((2, 16)) * 4
    quantizer = pqstore.PQ(M=4, Ks=16, verbose=False)
    with pqstore.Index.create(tmp_path / "i", quantizer, dim=16, metric=metric, train_at=1000) as index:
        assert index.stats().drift is None
        index.add((home + rng.standard_normal((1500, 16))).astype(np.float32))
        at_home = index.stats().drift
        assert 0.8 < at_home < 1.25
        index.add((abroad + rng.standard_normal((1500, 16))).astype(np.float32))
        moved = index.stats().drift
        assert moved > 2 * at_home
        index.retrain()
        assert index.stats().drift < moved / 1.5
        assert index.stats().trained_on == 3000


def test_it_cannot_be_known_without_originals(tmp_path: Path, small_pq: pqstore.PQ) -> None:
    vectors = np.random.default_rng(3).standard_normal((300, 16)).astype(np.float32)
    settings = {"dim": 16, "train_at": 100, "originals": None}
    with pqstore.Index.create(tmp_path / "a", pqstore.PQ(M=4, Ks=16, verbose=False), **settings) as index:
        index.add(vectors)
        assert (index.phase, index.stats().drift) == ("codes", None)
    with pqstore.Index.create(tmp_path / "b", small_pq) as index:
        assert (index.stats().drift, index.stats().trained_on) == (None, None)


@pytest.mark.parametrize("mode", ["auto", "background", "manual"])
def test_it_is_said_and_acted_on(tmp_path: Path, mode: str, caplog: pytest.LogCaptureFixture) -> None:
    rng = np.random.default_rng(3)
    home, abroad = rng.standard_normal((2, 16)) * 4
    quantizer = pqstore.PQ(M=4, Ks=16, verbose=False)
    with pqstore.Index.create(tmp_path / "i", quantizer, dim=16, train_at=1000, retrain=mode) as index:
        index.add((home + rng.standard_normal((3000, 16))).astype(np.float32))
        assert "drift" not in caplog.text
        for _ in range(20):
            index.add((abroad + rng.standard_normal((100, 16))).astype(np.float32))
        for thread in threading.enumerate():
            if thread.name == "pqstore i":
                assert mode == "background"
                thread.join(60)
        assert "retrain() mends it" in caplog.text
        assert index.stats().faults == ()
        assert (index.stats().trained_on > 3000) == (mode != "manual")
        assert (index.stats().drift < 1.5) == (mode != "manual")
        assert index.verify(deep=True) == []
    with pqstore.Index.open(tmp_path / "i") as index:
        index.retrain()
        assert index._spaces.now.training.retrain == mode


def test_vectors_that_vanish_in_their_originals(tmp_path: Path) -> None:
    """The look at drift raised out of the add, whose vectors were stored, and out of stats: a vector of zeros has no
    direction."""
    vectors = np.random.default_rng(4).standard_normal((1500, 16)).astype(np.float32)
    wish = pqstore.PQ(M=4, Ks=16, verbose=False)
    with pqstore.Index.create(tmp_path / "i", wish, dim=16, metric="cosine", train_at=300) as index:
        index.add(vectors[:300])
        assert (index.phase, index.originals) == ("codes", "float16")
        for _ in range(3):
            index.add(vectors * np.float32(1e-9))
        assert (len(index), index.stats().drift) == (4800, None)
        index.add(vectors[:500])
        assert index.stats().drift == pytest.approx(1, abs=0.2)
        assert index.stats().faults == ()
