"""How many candidates re-ranking needs is measured once, and kept."""

from __future__ import annotations

import numpy as np
import pytest

from tests.unit.index.contents import N, vectors


def test_calibration_is_kept(filled) -> None:
    kept = filled.calibrate(vectors()[:40], recall=0.9, k=5)
    assert kept.reached >= 0.9
    hits = filled.search(vectors()[0], k=5, rerank="auto", explain=True)
    assert hits.plan.rerank == kept.rerank
    assert filled.search(vectors()[0], k=10, rerank="auto", explain=True).plan.rerank == 2 * kept.rerank
    fewer = filled.search(vectors()[:40], k=5, rerank=max(5, kept.rerank - 1))
    exact = filled.search(vectors()[:40], k=5, rerank=N)
    share = np.mean([len(np.intersect1d(a, b)) / 5 for a, b in zip(fewer.ids, exact.ids, strict=True)])
    assert share < 0.9 or kept.rerank == 5


def test_auto_without_calibration(empty) -> None:
    with pytest.raises(ValueError, match="calibrate"):
        empty.search(vectors()[0], rerank="auto")
