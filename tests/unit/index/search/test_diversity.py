"""Maximal marginal relevance: nearness and difference, weighed."""

from __future__ import annotations

import numpy as np
import pytest

from pqstore.index.search.diversity import diverse

# Cosines with the query (1, 0): 1, .995, .8, 0; the first two are nearly the same.
QUERY = [1, 0]
VECTORS = np.array([[2, 0], [1, 0.1], [0.8, -0.6], [0, 3]], dtype=np.float32)


@pytest.mark.parametrize(
    ("weight", "k", "chosen"),
    [
        (1, 4, [0, 1, 2, 3]),
        (1, 2, [0, 1]),
        (0.9, 3, [0, 1, 2]),
        (0.3, 3, [0, 3, 2]),
        (0, 2, [0, 3]),
        (0, 9, [0, 3, 2, 1]),
    ],
)
def test_choice(weight: float, k: int, chosen: list[int]) -> None:
    assert diverse(QUERY, VECTORS, k, weight) == chosen


def test_as_written_in_the_paper() -> None:
    seed = int(np.random.SeedSequence().generate_state(1)[0])
    print("seed", seed)
    rng = np.random.default_rng(seed)
    query, vectors = rng.standard_normal(8), rng.standard_normal((30, 8)).astype(np.float32)

    def cosine(a, b):
        return a @ b / np.sqrt((a @ a) * (b @ b))

    wide = vectors.astype(np.float64)
    chosen = [max(range(30), key=lambda row: cosine(query, wide[row]))]
    while len(chosen) < 10:
        left = [row for row in range(30) if row not in chosen]
        chosen.append(
            max(
                left,
                key=lambda row: (
                    0.3 * cosine(query, wide[row]) - 0.7 * max(cosine(wide[row], wide[other]) for other in chosen)
                ),
            )
        )
    assert diverse(query, vectors, 10, 0.3) == chosen


def test_of_equals_the_first() -> None:
    assert diverse([1.0, 0.0], np.ones((3, 2), dtype=np.float32), 3, 0.5) == [0, 1, 2]


def test_vectors_of_zeros_and_none_at_all() -> None:
    assert diverse([0.0, 0.0], np.zeros((2, 2), dtype=np.float32), 2, 0.5) == [0, 1]
    assert diverse([1.0, 0.0], np.zeros((0, 2), dtype=np.float32), 2, 0.5) == []


@pytest.mark.parametrize(("k", "weight"), [(0, 0.5), (2, -0.1), (2, 1.1), (2, float("nan"))])
def test_bad_arguments(k: int, weight: float) -> None:
    with pytest.raises(ValueError, match="must be"):
        diverse(QUERY, VECTORS, k, weight)
