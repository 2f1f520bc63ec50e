"""The starts of k-means."""

from __future__ import annotations

import numpy as np
import pytest

from pqstore.errors import NotTrainedError
from pqstore.quantizer.seeding import check_initial_method, initial_codewords

GROUPS = np.random.default_rng(0).standard_normal((3, 400, 4)).astype(np.float32) * 3 + 50


def seeds(n: int = 3) -> list[np.random.SeedSequence]:
    return np.random.SeedSequence(7).spawn(n)


@pytest.mark.parametrize("minit", ["points", "random", "++"])
class TestEveryStart:
    def test_shape_and_repetition(self, minit: str) -> None:
        start = initial_codewords(GROUPS, 16, minit, seeds())
        assert start.shape == (3, 16, 4)
        assert start.dtype == np.float32
        np.testing.assert_array_equal(start, initial_codewords(GROUPS, 16, minit, seeds()))

    def test_a_sub_space_does_not_depend_on_the_others(self, minit: str) -> None:
        together = initial_codewords(GROUPS, 16, minit, seeds())
        alone = initial_codewords(GROUPS[2:], 16, minit, seeds()[2:])
        np.testing.assert_array_equal(together[2:], alone)

    def test_identical_vectors(self, minit: str) -> None:
        same = np.full((1, 20, 4), 3, dtype=np.float32)
        np.testing.assert_allclose(initial_codewords(same, 8, minit, seeds(1)), 3)

    def test_one_dimension(self, minit: str) -> None:
        start = initial_codewords(np.ascontiguousarray(GROUPS[:, :, :1]), 16, minit, seeds())
        assert np.isfinite(start).all()
        assert (np.abs(start - 50) < 30).all()

    def test_as_many_codewords_as_vectors(self, minit: str) -> None:
        few = np.ascontiguousarray(GROUPS[:, :5])
        start = initial_codewords(few, 5, minit, seeds())
        if minit != "random":
            np.testing.assert_array_equal(np.sort(start, axis=1), np.sort(few, axis=1))


@pytest.mark.parametrize("minit", ["points", "++"])
def test_starts_are_different_rows(minit: str) -> None:
    start = initial_codewords(GROUPS, 100, minit, seeds())
    for m in range(3):
        rows = {row.tobytes() for row in GROUPS[m]}
        chosen = {row.tobytes() for row in start[m]}
        assert len(chosen) == 100
        assert chosen <= rows


def test_plus_plus_reaches_every_distant_cluster() -> None:
    centres = np.arange(20, dtype=np.float32)[:, None] * 1000
    points = (centres + np.linspace(0, 1, 50, dtype=np.float32)).reshape(1, -1, 1)
    start = initial_codewords(points, 20, "++", seeds(1))
    assert set((start // 1000).ravel()) == set(range(20))


def test_plus_plus_prefers_what_is_not_covered_yet() -> None:
    # 990 copies of one row and 10 others far apart: each of the 10 is taken before a copy is.
    points = np.zeros((1, 1000, 2), dtype=np.float32)
    points[0, -10:] = np.random.default_rng(0).standard_normal((10, 2)) * 100
    start = initial_codewords(points, 11, "++", seeds(1))[0]
    assert len(np.unique(start, axis=0)) == 11


def test_random_follows_mean_and_covariance() -> None:
    mix = np.array([[2, 0, 0], [1, 1, 0], [0, 0, 0]], dtype=np.float32)  # the third axis is flat
    points = (np.random.default_rng(1).standard_normal((5000, 3)) @ mix + 10).astype(np.float32)
    start = initial_codewords(points[None], 20_000, "random", seeds(1))[0]
    np.testing.assert_allclose(start.mean(axis=0), points.mean(axis=0), atol=0.1)
    np.testing.assert_allclose(np.cov(start.T), np.cov(points.T), atol=0.2)


def test_unknown_names_and_a_missing_matrix_are_refused() -> None:
    with pytest.raises(ValueError, match="'kmeans'"):
        check_initial_method("kmeans", None)
    with pytest.raises(NotTrainedError, match="codewords"):
        check_initial_method("matrix", None)
    check_initial_method("matrix", GROUPS)
