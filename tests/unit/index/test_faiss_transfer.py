"""A whole index to Faiss and back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import pqstore


def test_to_faiss_and_back(sift_index: pqstore.Index, tmp_path: Path, queries) -> None:
    pytest.importorskip("faiss")
    sift_index.remove(np.arange(0, 10_000, 7))
    distances, ids = sift_index.to_faiss().search(queries.astype(np.float32), 10)
    found = sift_index.search(queries, k=10)
    np.testing.assert_allclose(distances, found.distances, rtol=1e-5)
    assert np.mean(ids == found.ids) > 0.99, "but for the order of equal distances"
    sift_index.to_faiss(tmp_path / "index.faiss")
    with pqstore.Index.from_faiss(tmp_path / "back", tmp_path / "index.faiss") as back:
        assert list(back) == list(sift_index)
        np.testing.assert_array_equal(back.codes(list(back)), sift_index.codes(list(sift_index)))
        np.testing.assert_array_equal(back.search(queries, k=10).ids, found.ids)
