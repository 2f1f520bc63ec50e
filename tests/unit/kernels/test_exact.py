"""Exact search over blocks of originals: the order of a full sort, whatever the blocks."""

from __future__ import annotations

import numpy as np
import pytest

from pqstore.kernels import OriginalFormat, nearest_in_blocks


def in_blocks(vectors: np.ndarray, size: int):
    for start in range(0, len(vectors), size):
        rows = np.arange(start, min(start + size, len(vectors)))
        yield rows * 10, OriginalFormat("float32", vectors.shape[1]).encode(vectors[rows])


def nearest(queries: np.ndarray, blocks, k: int, metric: str) -> np.ndarray:
    distances, rows = nearest_in_blocks("float32", metric, blocks, queries, k, 1)
    far_first = distances if metric == "l2" else -distances
    assert (far_first[:, :-1] <= far_first[:, 1:]).all()
    return rows


def far(queries: np.ndarray, vectors: np.ndarray, metric: str) -> np.ndarray:
    wide, asked = vectors.astype(np.float64), queries.astype(np.float64)
    if metric == "cosine":
        asked /= np.maximum(np.linalg.norm(asked, axis=1, keepdims=True), 1e-300)
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
    order = far(queries, vectors, metric).astype(np.float32)
    expected = np.full((9, k), -1)
    expected[:, :300] = np.argsort(order, axis=1, kind="stable")[:, :k] * 10
    np.testing.assert_array_equal(nearest(queries, in_blocks(vectors, size), k, metric), expected)


def test_zero_vectors_have_no_direction() -> None:
    vectors = np.array([[-1, 0], [0, 0], [1, 0]], dtype=np.float32)
    assert nearest(vectors[2:], in_blocks(vectors, 2), 3, "cosine").tolist() == [[20, 10, 0]]


def test_nothing_to_search() -> None:
    for metric, farthest in (("l2", np.inf), ("dot", -np.inf)):
        distances, rows = nearest_in_blocks("float32", metric, iter(()), np.zeros((2, 3), np.float32), 5, 1)
        np.testing.assert_array_equal(distances, np.full((2, 5), farthest, dtype=np.float32))
        assert (rows == -1).all()


def test_what_overflows_comes_before_no_row() -> None:
    vectors = np.full((3, 2), 3e38, dtype=np.float32)
    assert nearest(-vectors[:1], in_blocks(vectors, 2), 4, "l2").tolist() == [[0, 10, 20, -1]]
