"""The main job of an index, call by call, on real vectors."""

from __future__ import annotations

import copy
import multiprocessing
import pickle
from pathlib import Path

import numpy as np
import pytest

import pqstore
from tests.oracle import brute_force


@pytest.fixture
def index(tmp_path: Path, sift_pq: pqstore.PQ, base: np.ndarray):
    with pqstore.Index.create(tmp_path / "index", sift_pq) as index:
        index.add(base)
        yield index


def test_main_job(tmp_path: Path, sift_pq: pqstore.PQ, base, queries, truth) -> None:
    path = tmp_path / "index"
    model = dict(enumerate(sift_pq.encode(base)))
    with pqstore.Index.create(path, sift_pq) as index:
        ids = index.add(base)
        np.testing.assert_array_equal(ids, np.arange(len(base)))
        assert ids.dtype == np.int64
        found = index.search(queries, k=10)
        expected = brute_force(sift_pq, "l2", model, queries.astype(np.float32), 10, "int64")
        np.testing.assert_array_equal(found.ids, expected[0])
        np.testing.assert_array_equal(found.distances, expected[1])
        hits = np.mean([len(np.intersect1d(a, b)) for a, b in zip(found.ids, truth[:, :10], strict=True)]) / 10
        assert hits > 0.5
        gone = np.random.default_rng(0).choice(len(base), 1000, replace=False)
        assert index.remove(gone) == 1000
        for id in gone.tolist():
            del model[id]
    with pqstore.Index.open(path) as index:
        assert len(index) == 9000
        assert index.quantizer == sift_pq
        found = index.search(queries, k=100)
        expected = brute_force(sift_pq, "l2", model, queries.astype(np.float32), 100, "int64")
        np.testing.assert_array_equal(found.ids, expected[0])
        np.testing.assert_array_equal(found.distances, expected[1])
        assert index.verify(deep=True) == []


@pytest.mark.parametrize("metric", ["l2", "dot", "cosine"])
@pytest.mark.parametrize(("M", "Ks"), [(4, 16), (8, 100), (8, 256), (4, 300)])
@pytest.mark.parametrize("kind", [pqstore.PQ, pqstore.OPQ])
def test_every_metric_and_code_width(tmp_path: Path, base, queries, metric: str, M: int, Ks: int, kind) -> None:
    """Searches give what decoding every code and measuring gives, to the accuracy of float32."""
    vectors = base[:1500, :32].astype(np.float32) - 20
    quantizer = kind(M=M, Ks=Ks, metric=metric, verbose=False)
    arguments = {"pq_iter": 2, "rotation_iter": 2} if kind is pqstore.OPQ else {"iter": 2}
    quantizer.fit(vectors, **arguments)
    with pqstore.Index.create(tmp_path / "index", quantizer) as index:
        index.add(vectors)
        np.testing.assert_array_equal(index.codes(np.arange(1500)), quantizer.encode(vectors))
        decoded = index.reconstruct(np.arange(1500)).astype(np.float64)
        np.testing.assert_allclose(decoded, quantizer.decode(quantizer.encode(vectors)), rtol=1e-6)
        for query in queries[:5, :32].astype(np.float32) - 20:
            ids, distances = index.search(query, k=20)
            target = query / np.linalg.norm(query) if metric == "cosine" else query.astype(np.float64)
            exact = ((decoded - target) ** 2).sum(axis=1) if metric == "l2" else decoded @ target
            np.testing.assert_allclose(distances, exact[ids], rtol=2e-4, atol=2e-4 * np.abs(exact).max())
            best = np.sort(exact)[:20] if metric == "l2" else -np.sort(-exact)[:20]
            np.testing.assert_allclose(distances, best, rtol=2e-4, atol=2e-4 * np.abs(exact).max())


def test_fewer_rows_than_k_are_padded(tmp_path: Path, small_pq: pqstore.PQ) -> None:
    vectors = np.eye(3, 8, dtype=np.float32)
    for metric, id_type, padding, nobody in [("l2", "int64", np.inf, -1), ("dot", "str", -np.inf, None)]:
        with pqstore.Index.create(tmp_path / metric, small_pq, id_type=id_type, metric=metric) as index:
            ids, distances = index.search(vectors, k=4)
            assert ids.shape == distances.shape == (3, 4)
            assert (distances == padding).all()
            assert all(id == nobody for id in ids.ravel().tolist())
            index.add(vectors)
            ids, distances = index.search(vectors[0], k=1000)
            assert ids.shape == (1000,)
            assert (distances[3:] == padding).all()
            assert np.isfinite(distances[:3]).all()
            assert all(id == nobody for id in ids[3:].tolist())


def test_no_queries(index: pqstore.Index) -> None:
    ids, distances = index.search(np.empty((0, 128), dtype=np.float32), k=3)
    assert ids.shape == distances.shape == (0, 3)


def test_given_ids_and_automatic_ones_never_meet(tmp_path: Path, small_pq: pqstore.PQ) -> None:
    vectors = np.random.default_rng(1).random((5, 8), dtype=np.float32)
    with pqstore.Index.create(tmp_path / "index", small_pq) as index:
        assert index.add(vectors).tolist() == [0, 1, 2, 3, 4]
        assert index.add(vectors, ids=[100, -7, 7, 50, 2**40]).tolist() == [100, -7, 7, 50, 2**40]
        assert index.add(vectors[:2]).tolist() == [2**40 + 1, 2**40 + 2]
        index.remove(2**40 + 2)
        index.close()
        with pqstore.Index.open(index.path) as again:
            assert again.add(vectors[:1]).tolist() == [2**40 + 3], "an automatic id is never given again"


def test_string_ids(tmp_path: Path, small_pq: pqstore.PQ) -> None:
    vectors = np.random.default_rng(1).random((4, 8), dtype=np.float32)
    names = ["a", "Ünïcode ✓", "x" * 4096, " "]
    with pqstore.Index.create(tmp_path / "index", small_pq, id_type="str") as index:
        assert index.add(vectors, ids=names).tolist() == names
        assert list(index) == names
        assert names[1] in index
        assert "missing" not in index
        assert 3 not in index
        automatic = index.add(vectors)
        assert len(set(automatic.tolist())) == 4
        assert index.remove(names[2]) == 1
        assert index.search(vectors[0], k=8).ids[-1] is None
        with pytest.raises(pqstore.UnknownIdError, match="xxx"):
            index.reconstruct(names[2])


def test_replace_and_skip(tmp_path: Path, small_pq: pqstore.PQ) -> None:
    rng = np.random.default_rng(2)
    first, second = (rng.integers(0, 32, (3, 4)).astype(np.uint8) for _ in range(2))
    with pqstore.Index.create(tmp_path / "index", small_pq) as index:
        index.add_codes(first, ids=[1, 2, 3])
        with pytest.raises(pqstore.DuplicateIdError, match="3"):
            index.add_codes(second, ids=[4, 5, 3])
        assert list(index) == [1, 2, 3], "a refused batch leaves no row of itself behind"
        assert index.add_codes(second, ids=[3, 4, 1], on_conflict="skip").tolist() == [3, 4, 1]
        np.testing.assert_array_equal(index.codes([1, 2, 3, 4]), [*first, second[1]])
        index.add_codes(second, ids=[3, 4, 1], on_conflict="replace")
        np.testing.assert_array_equal(index.codes([1, 2, 3, 4]), [second[2], first[1], second[0], second[1]])
        assert len(index) == 4


def test_add_streams_from_an_iterator(tmp_path: Path, sift_pq: pqstore.PQ, base) -> None:
    with pqstore.Index.create(tmp_path / "index", sift_pq) as index:
        index.add((base[start : start + 700] for start in range(0, 7000, 700)), ids=iter(range(7000)))
        assert len(index) == 7000
        np.testing.assert_array_equal(index.codes([0, 6999]), sift_pq.encode(base[[0, 6999]]))

        def broken():
            yield base[:100]
            yield np.full((1, 128), np.nan)

        with pytest.raises(pqstore.InvalidVectorError):
            index.add(broken())
        with pytest.raises(pqstore.DimensionError, match="more vectors than ids"):
            index.add(iter([base[:2]]), ids=iter([8000]))
        with pytest.raises(pqstore.DimensionError, match="more ids than vectors"):
            index.add(iter([base[:2]]), ids=iter([8000, 8001, 8002]))
        assert len(index) == 7000


def test_snapshot_stays_as_it_is(index: pqstore.Index, base, queries) -> None:
    before = index.search(queries, k=5)
    with index.snapshot() as view:
        index.remove(np.unique(before.ids))
        index.add(base[:100] + 1)
        np.testing.assert_array_equal(view.search(queries, k=5).ids, before.ids)
        assert len(view) == 10_000
        assert before.ids[0, 0] in view
        assert not np.isin(index.search(queries, k=5).ids, before.ids).any()
    with pytest.raises(pqstore.IndexClosedError):
        view.search(queries)


def test_two_handles_of_one_path(index: pqstore.Index, base) -> None:
    with pqstore.Index.open(index.path) as other:
        other.add(base[:1], ids=[77_777])
        assert 77_777 in index
    assert len(index) == 10_001, "closing one handle leaves the other open"


def test_readonly(index: pqstore.Index, base) -> None:
    index.close()
    with pqstore.Index.open(index.path, readonly=True) as reader:
        assert reader.readonly
        assert reader.search(base[3], k=1).ids.tolist() == [3]
        for change in (lambda: reader.add(base[:1]), lambda: reader.remove(3)):
            with pytest.raises(pqstore.ReadOnlyError):
                change()


def test_pickles_as_its_path(index: pqstore.Index, base) -> None:
    for duplicate in (pickle.loads(pickle.dumps(index)), copy.copy(index)):
        with duplicate:
            assert duplicate.path == index.path
            assert duplicate.search(base[9], k=1).ids.tolist() == [9]


def _search_in_child(index: pqstore.Index, query: np.ndarray) -> int:
    return int(index.search(query, k=1).ids[0])


@pytest.mark.parametrize("method", ["spawn", "fork"])
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_travels_to_other_processes(index: pqstore.Index, base, method: str) -> None:
    with multiprocessing.get_context(method).Pool(2) as pool:
        assert pool.starmap(_search_in_child, [(index, base[n]) for n in range(4)]) == [0, 1, 2, 3]


def test_repr_tells_what_it_is(index: pqstore.Index) -> None:
    assert repr(index).startswith("<pqstore.Index '")
    assert "10,000 vectors, D=128, PQ M=16 Ks=256, l2, int64 ids" in repr(index)
    index.close()
    assert "closed" in repr(index)


def test_closed_index(index: pqstore.Index, base) -> None:
    index.close()
    index.close()
    for use in (lambda: index.search(base[0]), lambda: index.add(base[:1]), lambda: len(index), lambda: list(index)):
        with pytest.raises(pqstore.IndexClosedError):
            use()


def test_results_do_not_depend_on_threads(index: pqstore.Index, queries) -> None:
    one = index.search(queries, k=50, threads=1)
    for threads in (2, 3, None):
        many = index.search(queries, k=50, threads=threads)
        np.testing.assert_array_equal(one.ids, many.ids)
        np.testing.assert_array_equal(one.distances, many.distances)


def test_iter_codes_gives_everything(index: pqstore.Index, sift_pq: pqstore.PQ, base) -> None:
    index.remove(np.arange(0, 10_000, 3))
    blocks = list(index.iter_codes(block_rows=1000))
    ids = np.concatenate([ids for ids, _ in blocks])
    np.testing.assert_array_equal(ids, np.setdiff1d(np.arange(10_000), np.arange(0, 10_000, 3)))
    np.testing.assert_array_equal(np.concatenate([codes for _, codes in blocks]), sift_pq.encode(base[ids]))


def test_bulk_building_shows_the_index_only_when_it_is_whole(tmp_path: Path, sift_pq: pqstore.PQ, base) -> None:
    path = tmp_path / "index"
    bad = np.concatenate((base, np.full((1, 128), np.nan)))
    with pytest.raises(pqstore.InvalidVectorError), pqstore.Index.create(path, sift_pq, bulk=True) as index:
        index.add(bad)
    assert list(tmp_path.iterdir()) == [], "nothing is left of a build that failed"
    with pqstore.Index.create(path, sift_pq, bulk=True) as index:
        index.add(base)
        assert not path.exists()
        assert index.search(base[3], k=1).ids.tolist() == [3]
    with pqstore.Index.open(path) as index:
        assert len(index) == len(base)


def test_to_faiss_and_back(index: pqstore.Index, tmp_path: Path, queries) -> None:
    pytest.importorskip("faiss")
    index.remove(np.arange(0, 10_000, 7))
    distances, ids = index.to_faiss().search(queries.astype(np.float32), 10)
    found = index.search(queries, k=10)
    np.testing.assert_allclose(distances, found.distances, rtol=1e-5)
    assert np.mean(ids == found.ids) > 0.99, "but for the order of equal distances"
    index.to_faiss(tmp_path / "index.faiss")
    with pqstore.Index.from_faiss(tmp_path / "back", tmp_path / "index.faiss") as back:
        assert list(back) == list(index)
        np.testing.assert_array_equal(back.codes(list(back)), index.codes(list(index)))
        np.testing.assert_array_equal(back.search(queries, k=10).ids, found.ids)


def test_every_public_error_is_at_the_top() -> None:
    assert set(pqstore.errors.__all__) <= set(pqstore.__all__)
    assert all(hasattr(pqstore, name) for name in pqstore.__all__)
