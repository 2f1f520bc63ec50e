"""What a recall takes of lists and originals: measured, kept, and what searches then read."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pqstore
from tests.unit.index.listed import small_segments

D = 32


def vectors(n: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(5).standard_normal((40, D)) * 2
    return (centres[rng.integers(0, 40, n)] + rng.standard_normal((n, D))).astype(np.float32)


@pytest.fixture(params=[None, "float32"])
def index(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    made = vectors(9000)
    pq = pqstore.PQ(M=32, Ks=16, verbose=False).fit(made[:400], iter=2)
    with small_segments(512), pqstore.Index.create(tmp_path / "index", pq, originals=request.param) as index:
        index.add(made)
        index.partition(100)
        yield index


def found(index: pqstore.Index, asked: np.ndarray, truth: np.ndarray, **how: Any) -> float:
    ids = index.search(asked, 10, **how).ids
    return float(np.mean([len(set(a) & set(b)) / 10 for a, b in zip(ids.tolist(), truth.tolist(), strict=True)]))


def true_nearest(index: pqstore.Index, asked: np.ndarray) -> np.ndarray:
    if index.originals is None:
        return index.search(asked, 10, nprobe="all").ids
    return index.search(asked, 10, nprobe="all", rerank=9000).ids


def test_the_recall_that_was_asked_for(index: pqstore.Index) -> None:
    asked = vectors(300, 1)
    truth = true_nearest(index, asked)
    kept = index.calibrate(asked, recall=0.9, k=10)
    assert kept.reached >= 0.9
    assert 0 <= kept.worst < kept.reached
    assert kept.scan < 9000
    assert index.stats().calibration == kept
    rerank = None if index.originals is None else kept.rerank
    assert found(index, asked, truth, scan=kept.scan, rerank=rerank) >= kept.reached - 1e-9
    assert found(index, asked, truth, scan=max(1, kept.scan // 2), rerank=rerank) < kept.reached
    before = 0.0
    for target in (0.8, 0.9, 0.95, 0.98, 0.99):
        share = found(index, asked, truth, recall=target)
        assert share >= target - 1e-9
        assert share >= before
        before = share
    others = vectors(300, 2)
    assert abs(found(index, others, true_nearest(index, others), recall=0.9) - 0.9) < 0.05


def test_what_was_found_is_what_searches_read(index: pqstore.Index) -> None:
    kept = index.calibrate(vectors(200, 1), recall=0.9, k=10)
    index.add(vectors(27_000, 3))
    plan = index.search(vectors(1), 10, explain=True).plan
    assert plan.lists.budget == int(kept.scan * 4**0.9)  # four times the rows
    effort = next(effort for effort in kept.efforts if effort.recall == 0.95)
    plan = index.search(vectors(1), 10, recall=0.95, explain=True).plan
    assert (plan.rerank, plan.lists.budget) == (effort.rerank, int(effort.scan * 4**0.9))
    if index.originals is not None:
        assert index.search(vectors(1), 20, recall=0.95, explain=True).plan.rerank == 2 * effort.rerank
    plan = index.search(vectors(1), 10, recall=1, explain=True).plan  # more than was measured: the most there is
    assert plan.lists.budget == int(kept.efforts[-1].scan * 4**0.9)


def test_bad_input(index: pqstore.Index) -> None:
    with pytest.raises(ValueError, match=r"recall=0.9 needs a calibration: call index.calibrate"):
        index.search(vectors(1), 10, recall=0.9)
    with pytest.warns(pqstore.FewQueriesWarning, match="calibrated on 2 queries: the recall of others may differ by"):
        index.calibrate(vectors(2), recall=0.9)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        index.calibrate(vectors(400), recall=0.9)
    for wrong, error in ((0, ValueError), (1.5, ValueError), ("0.9", TypeError), (True, TypeError)):
        with pytest.raises(error, match="recall must be"):
            index.search(vectors(1), 10, recall=wrong)
    for others in ({"nprobe": 3}, {"scan": 30}, {"nprobe": "all"}):
        with pytest.raises(ValueError, match="leave out rerank, nprobe and scan"):
            index.search(vectors(1), 10, recall=0.9, **others)
    for queries, recall in ((vectors(0), 0.9), (vectors(5), 0), (vectors(5), 1.1)):
        with pytest.raises(ValueError, match=r"at least one query|recall must be above 0"):
            index.calibrate(queries, recall=recall)


def test_without_lists(tmp_path: Path) -> None:
    made = vectors(2000)
    pq = pqstore.PQ(M=32, Ks=16, verbose=False).fit(made[:400], iter=2)
    with pqstore.Index.create(tmp_path / "codes", pq) as index:
        index.add(made)
        with pytest.raises(ValueError, match="calibrate compares with the original vectors"):
            index.calibrate(vectors(5))
    with pqstore.Index.create(tmp_path / "originals", pq, originals="float16") as index:
        index.add(made)
        kept = index.calibrate(vectors(50, 1))
        assert (kept.scan, kept.worst) == (None, None)
        plan = index.search(vectors(1), 10, recall=0.9, explain=True).plan
        assert plan.method == "scan"
        assert plan.rerank <= kept.rerank


def test_rows_that_are_in_no_list_yet(tmp_path: Path) -> None:
    """Calibrated while every row was in the tail, which each search reads, an index kept that one row of lists is
    enough; when the rows were in lists, hardly any was found."""
    made = vectors(12_000)
    pq = pqstore.PQ(M=32, Ks=16, verbose=False).fit(made[:400], iter=2)
    with pqstore.Index.create(tmp_path / "index", pq) as index:
        index.add(made)
        index.partition(100)
        assert index.stats().lists.listed_rows == 0
        asked = vectors(100, 1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", pqstore.FewQueriesWarning)
            kept = index.calibrate(asked, recall=0.9, k=10)
        assert 20 < kept.scan < 12_000
        index.add(vectors(60_000, 2))
        assert index.stats().lists.listed_rows > 60_000
        assert found(index, asked, true_nearest(index, asked), recall=0.9) > 0.6
