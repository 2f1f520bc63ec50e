"""Exact search over blocks of vectors: the order of a full sort, whatever the blocks."""

from __future__ import annotations

import numpy as np
import pytest

from pqstore.kernels import nearest_vectors


def in_blocks(vectors: np.ndarray, size: int):
    for start in range(0, len(vectors), size):
        rows = np.arange(start, min(start + size, len(vectors)))
        yield rows * 10, vectors[rows]


def far(queries: np.ndarray, vectors: np.ndarray, metric: str) -> np.ndarray:
    wide, asked = vectors.astype(np.float64), queries.astype(np.float64)
    if metric == "l2":
        return ((asked[:, None] - wide[None]) ** 2).sum(axis=2)
    lengths = np.linalg.norm(wide, axis=1) if metric == "cosine" else np.ones(len(wide))
    return -(asked @ wide.T) / np.where(lengths > 0, lengths, 1)


@pytest.mark.parametrize("metric", ["l2", "dot", "cosine"])
@pytest.mark.parametrize("size", [1, 7, 64, 1000])
@pytest.mark.parametrize("k", [1, 10, 300, 500])
def test_order_of_a_full_sort(metric: str, size: int, k: int) -> None:
    # Small whole numbers: many vectors are equally far, also at the edge of the k best.
    rng = np.random.default_rng(1)
    vectors = rng.integers(-1, 2, (300, 3)).astype(np.float32)
    queries = rng.integers(-1, 2, (9, 3)).astype(np.float32)
    if metric == "cosine":  # whole numbers over irrational lengths: equal only when the vectors are
        vectors = np.repeat(rng.standard_normal((60, 3)).astype(np.float32), 5, axis=0)
    expected = np.argsort(far(queries, vectors, metric), axis=1, kind="stable")[:, :k] * 10
    np.testing.assert_array_equal(nearest_vectors(queries, in_blocks(vectors, size), k, metric), expected)


def test_zero_vectors_have_no_direction() -> None:
    vectors = np.array([[-1, 0], [0, 0], [1, 0]], dtype=np.float32)
    assert nearest_vectors(vectors[2:], in_blocks(vectors, 2), 3, "cosine").tolist() == [[20, 10, 0]]


def test_nothing_to_search() -> None:
    assert nearest_vectors(np.zeros((2, 3), np.float32), iter(()), 5, "l2").shape == (2, 0)
