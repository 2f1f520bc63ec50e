"""Sizes that are tried, and the one that is recommended."""

from __future__ import annotations

import numpy as np
import pytest

from pqstore.cli.measuring.trials import Trial, default_sizes, nearest, recommend


@pytest.mark.parametrize("metric", ["l2", "dot", "cosine"])
def test_exact_search(metric: str) -> None:
    rng = np.random.default_rng(3)
    base, queries = rng.standard_normal((500, 6)), rng.standard_normal((9, 6))
    if metric == "l2":
        far = ((base[None] - queries[:, None]) ** 2).sum(axis=2)
    else:
        lengths = np.linalg.norm(base, axis=1) if metric == "cosine" else 1
        far = -(queries @ base.T) / lengths
    np.testing.assert_array_equal(nearest(base, queries, 20, metric), np.argsort(far, axis=1)[:, :20])


def test_recommendation() -> None:
    def trial(name: str, size: int, recall: float) -> Trial:
        return Trial(name, "PQ", size, 256, size, {10: recall}, 1.0)

    trials = [trial("a", 16, 0.9), trial("b", 8, 0.8), trial("c", 8, 0.85), trial("d", 4, 0.5)]
    assert recommend(trials, 10, 0.8).name == "c"
    assert recommend(trials, 10, 0.86).name == "a"
    assert recommend(trials, 10, 0.95) is None


@pytest.mark.parametrize("D", [1, 2, 7, 96, 100, 128, 384, 768, 960])
def test_default_sizes_divide(D: int) -> None:
    sizes = default_sizes(D)
    assert 1 <= len(sizes) <= 5
    assert all(D % M == 0 for M in sizes)
    assert sizes == sorted(set(sizes))
