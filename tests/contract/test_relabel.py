"""Renaming codes: every set of kernels gives what indexing gives."""

from __future__ import annotations

import numpy as np
import pytest

from pqstore import kernels


@pytest.mark.parametrize("name", kernels.available())
@pytest.mark.parametrize(("n", "M"), [(0, 3), (1, 1), (33, 16), (1000, 7)])
def test_relabel_is_indexing(name: str, n: int, M: int) -> None:
    rng = np.random.default_rng(n + M)
    labels = np.array([rng.permutation(256) for _ in range(M)], dtype=np.uint8)
    codes = rng.integers(0, 256, (n, 2 * M), dtype=np.uint8)[:, ::2]
    renamed = kernels.get(name).relabel(labels, codes)
    assert renamed.dtype == np.uint8
    np.testing.assert_array_equal(renamed, labels[np.arange(M), codes])
