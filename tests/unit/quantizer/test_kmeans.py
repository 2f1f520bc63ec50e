"""Lloyd's algorithm: its steps, its stop, its empty clusters."""

from __future__ import annotations

import numpy as np
import pytest

from pqstore.quantizer.kmeans import head_start, lloyd, lloyd_once, sum_of_squares


def once(points: np.ndarray, codewords: np.ndarray):
    groups = np.asarray(points, dtype=np.float32)[None]
    return lloyd_once(groups, np.asarray(codewords, dtype=np.float32)[None], sum_of_squares(groups), 1)


def test_one_iteration_assigns_and_takes_means() -> None:
    result = once([[0], [1], [10], [13]], [[2], [9]])
    np.testing.assert_array_equal(result.labels, [[0, 0, 1, 1]])
    np.testing.assert_array_equal(result.codewords, [[[0.5], [11.5]]])
    assert result.error == pytest.approx((4 + 1 + 1 + 16) / 4)


def test_an_empty_cluster_takes_the_row_of_largest_error() -> None:
    result = once([[0], [1], [2], [100]], [[0], [1000]])
    np.testing.assert_array_equal(result.labels, [[0, 0, 0, 1]])
    np.testing.assert_array_equal(result.codewords, [[[1], [100]]])


def test_ties_go_to_the_lowest_row_and_each_empty_cluster_to_its_own() -> None:
    result = once([[-5], [5], [0], [5]], [[0], [1000], [2000]])
    np.testing.assert_array_equal(result.labels, [[1, 2, 0, 0]])
    np.testing.assert_array_equal(result.codewords, [[[2.5], [-5], [5]]])


def test_a_cluster_of_one_keeps_its_member() -> None:
    # Row 2 has the largest error, but is alone: the next one goes.
    result = once([[0], [3], [110]], [[0], [100], [5000]])
    np.testing.assert_array_equal(result.labels, [[0, 2, 1]])
    np.testing.assert_array_equal(result.codewords, [[[0], [110], [3]]])


def test_nothing_moves_when_every_error_is_zero() -> None:
    result = once([[7], [7], [7]], [[7], [9]])
    np.testing.assert_array_equal(result.labels, [[0, 0, 0]])
    np.testing.assert_array_equal(result.codewords, [[[7], [9]]])


def test_no_cluster_is_left_empty_when_there_are_enough_different_rows() -> None:
    points = np.random.default_rng(1).standard_normal((300, 4)).astype(np.float32)
    start = np.zeros((64, 4), dtype=np.float32)  # 63 of 64 clusters begin empty
    result = once(points, start)
    assert len(np.unique(result.labels)) == 64


def test_iteration_stops_when_labels_no_longer_change() -> None:
    groups = np.array([[[0], [1], [10], [11]]], dtype=np.float32)
    seen: list[int] = []
    codewords = lloyd(groups, np.array([[[0], [1]]], dtype=np.float32), 50, 1, lambda i, _: seen.append(i))
    np.testing.assert_array_equal(np.sort(codewords.ravel()), [0.5, 10.5])
    assert seen == list(range(1, len(seen) + 1))
    assert len(seen) < 10


def test_a_stop_changes_nothing_but_the_time() -> None:
    groups = np.random.default_rng(2).standard_normal((2, 200, 3)).astype(np.float32)
    start = np.ascontiguousarray(groups[:, :8])
    few = lloyd(groups, start, 60, 1, lambda *_: None)
    many = lloyd(groups, start, 500, 1, lambda *_: None)
    np.testing.assert_array_equal(few, many)


def test_error_never_rises() -> None:
    groups = np.random.default_rng(3).standard_normal((3, 500, 4)).astype(np.float32)
    errors: list[float] = []
    lloyd(groups, np.ascontiguousarray(groups[:, :32]), 30, 1, lambda _, error: errors.append(error))
    assert (np.diff(errors) <= 1e-9 * errors[0]).all()


def test_sub_spaces_do_not_affect_each_other() -> None:
    groups = np.random.default_rng(4).standard_normal((2, 200, 3)).astype(np.float32)
    both = lloyd(groups, np.ascontiguousarray(groups[:, :8]), 4, 1, lambda *_: None)
    alone = lloyd(groups[1:], np.ascontiguousarray(groups[1:, :8]), 4, 1, lambda *_: None)
    np.testing.assert_array_equal(both[1:], alone)


def test_the_start_is_not_changed() -> None:
    groups = np.random.default_rng(5).standard_normal((1, 50, 3)).astype(np.float32)
    start = np.ascontiguousarray(groups[:, :4])
    kept = start.copy()
    lloyd(groups, start, 3, 1, lambda *_: None)
    np.testing.assert_array_equal(start, kept)


def test_values_far_from_one_do_not_disturb() -> None:
    groups = np.random.default_rng(6).standard_normal((1, 100, 2)).astype(np.float32)
    start = np.ascontiguousarray(groups[:, :4])
    plain = lloyd(groups, start, 5, 1, lambda *_: None)
    for scale in (np.float32(2.0**-50), np.float32(2.0**50)):
        scaled = lloyd(groups * scale, start * scale, 5, 1, lambda *_: None)
        np.testing.assert_array_equal(scaled, plain * scale)


def test_a_head_start_comes_close_to_the_end() -> None:
    groups = np.random.default_rng(7).standard_normal((2, 4096, 4)).astype(np.float32)
    start = np.ascontiguousarray(groups[:, :32])
    squares = sum_of_squares(groups)
    seed = np.random.SeedSequence(1)
    ahead = head_start(groups, start, 8, 1, seed)
    errors = [
        lloyd_once(groups, codewords, squares, 1).error
        for codewords in (start, lloyd(groups, start, 1, 1, lambda *_: None), ahead)
    ]
    assert errors == sorted(errors, reverse=True)  # better than the round on all rows that it costs
    np.testing.assert_array_equal(ahead, head_start(groups, start, 8, 3, seed))


def test_no_head_start_on_few_rows() -> None:
    groups = np.random.default_rng(8).standard_normal((1, 128 * 32 - 8, 4)).astype(np.float32)
    start = np.ascontiguousarray(groups[:, :32])
    assert head_start(groups, start, 8, 1, np.random.SeedSequence(1)) is start
