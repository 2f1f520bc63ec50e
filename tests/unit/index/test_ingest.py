"""Many vectors: a stream of blocks, and an index that shows itself when it is whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import pqstore


def test_add_streams_from_an_iterator(tmp_path: Path, sift_pq: pqstore.PQ, base) -> None:
    with pqstore.Index.create(tmp_path / "index", sift_pq) as sift_index:
        sift_index.add((base[start : start + 700] for start in range(0, 7000, 700)), ids=iter(range(7000)))
        assert len(sift_index) == 7000
        np.testing.assert_array_equal(sift_index.codes([0, 6999]), sift_pq.encode(base[[0, 6999]]))

        def broken():
            yield base[:100]
            yield np.full((1, 128), np.nan)

        with pytest.raises(pqstore.InvalidVectorError):
            sift_index.add(broken())
        with pytest.raises(pqstore.DimensionError, match="more vectors than ids"):
            sift_index.add(iter([base[:2]]), ids=iter([8000]))
        with pytest.raises(pqstore.DimensionError, match="more ids than vectors"):
            sift_index.add(iter([base[:2]]), ids=iter([8000, 8001, 8002]))
        assert len(sift_index) == 7000


def test_bulk_building_shows_the_index_only_when_it_is_whole(tmp_path: Path, sift_pq: pqstore.PQ, base) -> None:
    path = tmp_path / "index"
    bad = np.concatenate((base, np.full((1, 128), np.nan)))
    with pytest.raises(pqstore.InvalidVectorError), pqstore.Index.create(path, sift_pq, bulk=True) as sift_index:
        sift_index.add(bad)
    assert list(tmp_path.iterdir()) == [], "nothing is left of a build that failed"
    with pqstore.Index.create(path, sift_pq, bulk=True) as sift_index:
        sift_index.add(base)
        assert not path.exists()
        assert sift_index.search(base[3], k=1).ids.tolist() == [3]
    with pqstore.Index.open(path) as sift_index:
        assert len(sift_index) == len(base)
