"""The nearest of several answers, against a sort of pairs."""

from __future__ import annotations

import numpy as np
import pytest

from pqstore.kernels.merge import merge_nearest


@pytest.mark.parametrize("larger_is_nearer", [False, True])
def test_against_a_sort_of_pairs(larger_is_nearer: bool) -> None:
    rng = np.random.default_rng(6)
    for _ in range(200):
        n, c, k = (int(value) for value in rng.integers(1, 12, 3))
        distances = rng.integers(0, 4, (n, c)).astype(np.float32)
        names = rng.integers(0, 8, (n, c))
        distances[:, : c // 2] = np.inf if rng.random() < 0.1 else distances[:, : c // 2]
        missing = rng.random((n, c)) < 0.3
        places = merge_nearest(distances, names, missing, k, larger_is_nearer=larger_is_nearer)
        assert places.shape == (n, k)
        for q in range(n):
            sign = -1 if larger_is_nearer else 1
            pairs = sorted((sign * distances[q, i], names[q, i]) for i in range(c) if not missing[q, i])
            expected = list(dict.fromkeys((float(distance), int(name)) for distance, name in pairs))
            found = [(float(sign * distances[q, i]), int(names[q, i])) for i in places[q].tolist() if i >= 0]
            assert found == expected[:k]
            assert (places[q, len(found) :] == -1).all()


def test_nothing_is_an_answer() -> None:
    nothing = np.empty((2, 0), dtype=np.float32)
    assert (
        merge_nearest(nothing, np.empty((2, 0), dtype=np.int64), None, 3, larger_is_nearer=False).tolist()
        == [[-1] * 3] * 2
    )
