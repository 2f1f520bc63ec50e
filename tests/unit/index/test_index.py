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


def test_main_job(tmp_path: Path, sift_pq: pqstore.PQ, base, queries, truth) -> None:
    path = tmp_path / "index"
    model = dict(enumerate(sift_pq.encode(base)))
    with pqstore.Index.create(path, sift_pq) as sift_index:
        ids = sift_index.add(base)
        np.testing.assert_array_equal(ids, np.arange(len(base)))
        assert ids.dtype == np.int64
        found = sift_index.search(queries, k=10)
        expected = brute_force(sift_pq, "l2", model, queries.astype(np.float32), 10, "int64")
        np.testing.assert_array_equal(found.ids, expected[0])
        np.testing.assert_array_equal(found.distances, expected[1])
        hits = np.mean([len(np.intersect1d(a, b)) for a, b in zip(found.ids, truth[:, :10], strict=True)]) / 10
        assert hits > 0.5
        gone = np.random.default_rng(0).choice(len(base), 1000, replace=False)
        assert sift_index.remove(gone) == 1000
        for id in gone.tolist():
            del model[id]
    with pqstore.Index.open(path) as sift_index:
        assert len(sift_index) == 9000
        assert sift_index.quantizer == sift_pq
        found = sift_index.search(queries, k=100)
        expected = brute_force(sift_pq, "l2", model, queries.astype(np.float32), 100, "int64")
        np.testing.assert_array_equal(found.ids, expected[0])
        np.testing.assert_array_equal(found.distances, expected[1])
        assert sift_index.verify(deep=True) == []


@pytest.mark.parametrize("metric", ["l2", "dot", "cosine"])
@pytest.mark.parametrize(("M", "Ks"), [(4, 16), (8, 100), (8, 256), (4, 300)])
@pytest.mark.parametrize("kind", [pqstore.PQ, pqstore.OPQ])
def test_every_metric_and_code_width(tmp_path: Path, base, queries, metric: str, M: int, Ks: int, kind) -> None:
    """Searches give what decoding every code and measuring gives, to the accuracy of float32."""
    vectors = base[:1500, :32].astype(np.float32) - 20
    quantizer = kind(M=M, Ks=Ks, metric=metric, verbose=False)
    arguments = {"pq_iter": 2, "rotation_iter": 2} if kind is pqstore.OPQ else {"iter": 2}
    quantizer.fit(vectors, **arguments)
    with pqstore.Index.create(tmp_path / "index", quantizer) as sift_index:
        sift_index.add(vectors)
        np.testing.assert_array_equal(sift_index.codes(np.arange(1500)), quantizer.encode(vectors))
        decoded = sift_index.reconstruct(np.arange(1500)).astype(np.float64)
        np.testing.assert_allclose(decoded, quantizer.decode(quantizer.encode(vectors)), rtol=1e-6)
        for query in queries[:5, :32].astype(np.float32) - 20:
            ids, distances = sift_index.search(query, k=20)
            target = query / np.linalg.norm(query) if metric == "cosine" else query.astype(np.float64)
            exact = ((decoded - target) ** 2).sum(axis=1) if metric == "l2" else decoded @ target
            np.testing.assert_allclose(distances, exact[ids], rtol=2e-4, atol=2e-4 * np.abs(exact).max())
            best = np.sort(exact)[:20] if metric == "l2" else -np.sort(-exact)[:20]
            np.testing.assert_allclose(distances, best, rtol=2e-4, atol=2e-4 * np.abs(exact).max())


def test_fewer_rows_than_k_are_padded(tmp_path: Path, small_pq: pqstore.PQ) -> None:
    vectors = np.eye(3, 8, dtype=np.float32)
    for metric, id_type, padding, nobody in [("l2", "int64", np.inf, -1), ("dot", "str", -np.inf, None)]:
        with pqstore.Index.create(tmp_path / metric, small_pq, id_type=id_type, metric=metric) as sift_index:
            ids, distances = sift_index.search(vectors, k=4)
            assert ids.shape == distances.shape == (3, 4)
            assert (distances == padding).all()
            assert all(id == nobody for id in ids.ravel().tolist())
            sift_index.add(vectors)
            ids, distances = sift_index.search(vectors[0], k=1000)
            assert ids.shape == (1000,)
            assert (distances[3:] == padding).all()
            assert np.isfinite(distances[:3]).all()
            assert all(id == nobody for id in ids[3:].tolist())


def test_no_queries(sift_index: pqstore.Index) -> None:
    ids, distances = sift_index.search(np.empty((0, 128), dtype=np.float32), k=3)
    assert ids.shape == distances.shape == (0, 3)


def test_given_ids_and_automatic_ones_never_meet(tmp_path: Path, small_pq: pqstore.PQ) -> None:
    vectors = np.random.default_rng(1).random((5, 8), dtype=np.float32)
    with pqstore.Index.create(tmp_path / "index", small_pq) as sift_index:
        assert sift_index.add(vectors).tolist() == [0, 1, 2, 3, 4]
        assert sift_index.add(vectors, ids=[100, -7, 7, 50, 2**40]).tolist() == [100, -7, 7, 50, 2**40]
        assert sift_index.add(vectors[:2]).tolist() == [2**40 + 1, 2**40 + 2]
        sift_index.remove(2**40 + 2)
        sift_index.close()
        with pqstore.Index.open(sift_index.path) as again:
            assert again.add(vectors[:1]).tolist() == [2**40 + 3], "an automatic id is never given again"


def test_string_ids(tmp_path: Path, small_pq: pqstore.PQ) -> None:
    vectors = np.random.default_rng(1).random((4, 8), dtype=np.float32)
    names = ["a", "Ünïcode ✓", "x" * 4096, " "]
    with pqstore.Index.create(tmp_path / "index", small_pq, id_type="str") as sift_index:
        assert sift_index.add(vectors, ids=names).tolist() == names
        assert list(sift_index) == names
        assert names[1] in sift_index
        assert "missing" not in sift_index
        assert 3 not in sift_index
        automatic = sift_index.add(vectors)
        assert len(set(automatic.tolist())) == 4
        assert sift_index.remove(names[2]) == 1
        assert sift_index.search(vectors[0], k=8).ids[-1] is None
        with pytest.raises(pqstore.UnknownIdError, match="xxx"):
            sift_index.reconstruct(names[2])


def test_replace_and_skip(tmp_path: Path, small_pq: pqstore.PQ) -> None:
    rng = np.random.default_rng(2)
    first, second = (rng.integers(0, 32, (3, 4)).astype(np.uint8) for _ in range(2))
    with pqstore.Index.create(tmp_path / "index", small_pq) as sift_index:
        sift_index.add_codes(first, ids=[1, 2, 3])
        with pytest.raises(pqstore.DuplicateIdError, match="3"):
            sift_index.add_codes(second, ids=[4, 5, 3])
        assert list(sift_index) == [1, 2, 3], "a refused batch leaves no row of itself behind"
        assert sift_index.add_codes(second, ids=[3, 4, 1], on_conflict="skip").tolist() == [3, 4, 1]
        np.testing.assert_array_equal(sift_index.codes([1, 2, 3, 4]), [*first, second[1]])
        sift_index.add_codes(second, ids=[3, 4, 1], on_conflict="replace")
        np.testing.assert_array_equal(sift_index.codes([1, 2, 3, 4]), [second[2], first[1], second[0], second[1]])
        assert len(sift_index) == 4


def test_two_handles_of_one_path(sift_index: pqstore.Index, base) -> None:
    with pqstore.Index.open(sift_index.path) as other:
        other.add(base[:1], ids=[77_777])
        assert 77_777 in sift_index
    assert len(sift_index) == 10_001, "closing one handle leaves the other open"


def test_readonly(sift_index: pqstore.Index, base) -> None:
    sift_index.close()
    with pqstore.Index.open(sift_index.path, readonly=True) as reader:
        assert reader.readonly
        assert reader.search(base[3], k=1).ids.tolist() == [3]
        for change in (lambda: reader.add(base[:1]), lambda: reader.remove(3)):
            with pytest.raises(pqstore.ReadOnlyError):
                change()


def test_pickles_as_its_path(sift_index: pqstore.Index, base) -> None:
    for duplicate in (pickle.loads(pickle.dumps(sift_index)), copy.copy(sift_index)):
        with duplicate:
            assert duplicate.path == sift_index.path
            assert duplicate.search(base[9], k=1).ids.tolist() == [9]


def _search_in_child(sift_index: pqstore.Index, query: np.ndarray) -> int:
    return int(sift_index.search(query, k=1).ids[0])


@pytest.mark.parametrize("method", ["spawn", "fork"])
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_travels_to_other_processes(sift_index: pqstore.Index, base, method: str) -> None:
    with multiprocessing.get_context(method).Pool(2) as pool:
        assert pool.starmap(_search_in_child, [(sift_index, base[n]) for n in range(4)]) == [0, 1, 2, 3]


def test_repr_tells_what_it_is(sift_index: pqstore.Index) -> None:
    assert repr(sift_index).startswith("<pqstore.Index '")
    assert "10,000 vectors, D=128, PQ M=16 Ks=256, l2, int64 ids" in repr(sift_index)
    sift_index.close()
    assert "closed" in repr(sift_index)


def test_closed_index(sift_index: pqstore.Index, base) -> None:
    sift_index.close()
    sift_index.close()
    for use in (
        lambda: sift_index.search(base[0]),
        lambda: sift_index.add(base[:1]),
        lambda: len(sift_index),
        lambda: list(sift_index),
    ):
        with pytest.raises(pqstore.IndexClosedError):
            use()


def test_results_do_not_depend_on_threads(sift_index: pqstore.Index, queries) -> None:
    one = sift_index.search(queries, k=50, threads=1)
    for threads in (2, 3, None):
        many = sift_index.search(queries, k=50, threads=threads)
        np.testing.assert_array_equal(one.ids, many.ids)
        np.testing.assert_array_equal(one.distances, many.distances)
