"""A whole index to Faiss and back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import pqstore
from pqstore.storage import SnapshotLists
from tests.unit.index.listed import small_segments


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


@pytest.mark.parametrize("metric", ["l2", "dot", "cosine"])
@pytest.mark.parametrize("kind", ["PQ", "OPQ"])
def test_lists_to_faiss_and_back(tmp_path: Path, metric: str, kind: str) -> None:
    """Faiss finds in all lists what we find, and in the nearest about that; the file comes back with all rows."""
    pytest.importorskip("faiss")
    rng = np.random.default_rng(3)
    made = (rng.standard_normal((20, 32))[rng.integers(0, 20, 3000)] * 3 + rng.standard_normal((3000, 32))).astype(
        np.float32
    )
    training = {"iter": 2} if kind == "PQ" else {"pq_iter": 2, "rotation_iter": 2}
    quantizer = getattr(pqstore, kind)(M=32, Ks=60, metric=metric, verbose=False).fit(made[:500], **training)
    with small_segments(), pqstore.Index.create(tmp_path / "index", quantizer) as index:
        index.add(made)
        index.remove(range(0, 3000, 9))
        with pytest.raises(ValueError, match="has no lists: call partition"):
            index.to_faiss(kind="ivf")
        index.partition(16)
        index.remove(range(1, 3000, 90))
        live = index.to_faiss(kind="ivf")
        index.to_faiss(tmp_path / "lists.faiss", kind="ivf")
        import faiss

        asked = made[:40]
        for other in (live, faiss.read_index(str(tmp_path / "lists.faiss"))):
            assert other.ntotal == len(index)
            ivf = faiss.extract_index_ivf(other)
            assert (ivf.nlist, faiss.downcast_index(ivf).by_residual) == (16, False)
            ivf.nprobe = 16
            distances, ids = other.search(asked, 10)
            found = index.search(asked, 10, nprobe="all")
            np.testing.assert_allclose(distances, found.distances, rtol=1e-4, atol=1e-4)
            assert np.mean(ids == found.ids) > 0.95
            ivf.nprobe = 3
            if metric != "dot":  # there Faiss asks for the lists by other means
                near = index.search(asked, 10, nprobe=3).ids
                same = [
                    len(set(a) & set(b))
                    for a, b in zip(other.search(asked, 10)[1].tolist(), near.tolist(), strict=True)
                ]
                assert np.mean(same) > 7
        with pqstore.Index.from_faiss(tmp_path / "back", tmp_path / "lists.faiss") as back:
            assert sorted(back) == sorted(index)
            np.testing.assert_array_equal(back.codes(list(index)), index.codes(list(index)))
            assert back.stats().lists.partitions == 16
            with back._read() as its, index._read() as ours:
                tables = [SnapshotLists(reading.snapshot).read().table for reading in (its, ours)]
            np.testing.assert_array_equal(tables[0].stored, tables[1].stored)
        with pytest.raises(ValueError, match="kind must be 'flat' or 'ivf', got 'hnsw'"):
            index.to_faiss(kind="hnsw")
