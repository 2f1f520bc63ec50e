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


@pytest.mark.parametrize("call", ["add", "replace", "upsert", "add_codes", "update_payload", "merge", "iterators"])
def test_what_is_filtered_is_what_is_stored(call: str, tmp_path: Path, small_pq: pqstore.PQ) -> None:
    """Numbers of NumPy vanished from every filter on an indexed field, and stayed away after compact and backup."""
    years = [{"year": year, "at": {"page": np.float32(year)}} for year in np.array([2020, 2021, 2022])]
    vectors, ids = np.zeros((3, 8)), [1, 2, 3]
    index = pqstore.Index.create(tmp_path / "index", small_pq, fields=["year", "at.page"])
    if call in ("replace", "upsert", "update_payload", "merge"):
        index.add(vectors, ids, payloads=[{"other": 1}] * 3)
    if call == "add":
        index.add(vectors, ids, payloads=years)
    elif call == "replace":
        index.add(vectors, ids, "replace", payloads=years)
    elif call == "upsert":
        index.upsert(vectors, ids, payloads=years)
    elif call == "add_codes":
        index.add_codes(np.zeros((3, small_pq.M), dtype=np.uint8), ids, payloads=years)
    elif call == "iterators":
        index.add(iter(vectors), iter(ids), payloads=iter(years))
    else:
        index.update_payload(ids, years, merge=call == "merge")
    index.compact()
    index.backup(tmp_path / "backup")
    with pqstore.Index.open(tmp_path / "backup") as backup:
        for one in (index, backup):
            assert one.count({"year": 2021}) == 1
            assert one.count({"year": {"$lt": 2022}, "at.page": {"$gte": 2021}}) == 1
            assert type(one.get(2).payload["year"]) is int
            assert one.verify(deep=True) == []
    assert index.delete({"year": {"$lt": 2022}}) == 2
    index.close()


def test_a_payload_that_could_not_be_read_again_stores_nothing(tmp_path: Path, small_pq: pqstore.PQ) -> None:
    with pqstore.Index.create(tmp_path / "index", small_pq) as index:
        index.add(np.zeros((1, 8)), ids=[9], payloads=[{"kept": 1}])
        bad = {"doc": 2, "grid": {(0, 1): "x"}}
        for call in (
            lambda: index.add(np.zeros((2, 8)), payloads=[{"doc": 1}, bad]),
            lambda: index.upsert(np.zeros((1, 8)), [9], payloads=[bad]),
            lambda: index.add_codes(np.zeros((1, small_pq.M), dtype=np.uint8), payloads=[bad]),
            lambda: index.update_payload(9, bad),
            lambda: index.update_payload(9, bad, merge=False),
        ):
            with pytest.raises(pqstore.InvalidPayloadError, match=r"\(0, 1\).* is named by a tuple"):
                call()
            assert list(index) == [9]
            assert index.get(9).payload == {"kept": 1}


def test_the_last_ids_of_int64(tmp_path: Path, small_pq: pqstore.PQ) -> None:
    """The end of a range beyond the last id made floats of automatic ids, with a warning of an overflow."""
    last = np.iinfo(np.int64).max
    vectors = np.ones((5, 8), dtype=np.float32)
    with pqstore.Index.create(tmp_path / "index", small_pq) as index:
        index.add(vectors[:1], [last - 3])
        ids = index.add(vectors[:3])
        assert ids.dtype == np.int64
        assert ids.tolist() == [last - 2, last - 1, last]
        with pytest.raises(pqstore.PQStoreError):
            index.add(vectors[:1])
        assert len(index) == 4
        assert index.search(vectors[0], k=4).ids.tolist() == [last - 3, last - 2, last - 1, last]
