"""An index that is not trained: everything works as it does later, and searches are exact."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import pqstore
from pqstore.errors import CorruptIndexError, DimensionError, InvalidVectorError, NotTrainedError
from pqstore.kernels.reference.originals import exact_distances, unit_length

D, N = 24, 900
METRICS = ("l2", "dot", "cosine")


@pytest.fixture
def vectors(rng: np.random.Generator) -> np.ndarray:
    return rng.standard_normal((N, D)).astype(np.float32)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(13)


def nearest(metric: str, vectors: np.ndarray, query: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """(rows, distances) by the definition."""
    wide = query.astype(np.float64)
    distances = exact_distances(metric, vectors, unit_length(wide[None])[0] if metric == "cosine" else wide)
    order = np.lexsort((np.arange(len(vectors)), distances if metric == "l2" else -distances))[:k]
    return order, distances[order]


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("threads", [1, 2])
def test_searches_are_exact_to_the_bit(
    tmp_path: Path, vectors: np.ndarray, rng: np.random.Generator, metric: str, threads: int
) -> None:
    """Over sealed segments and the tail, with dead rows, by a filter, one query and several."""
    queries = rng.standard_normal((5, D)).astype(np.float32)
    with pqstore.Index.create(tmp_path / "i", dim=D, metric=metric, train_at=None, fields=["n"]) as index:
        index.add(vectors, payloads=[{"n": n % 7} for n in range(N)])
        gone = rng.choice(N, 100, replace=False)
        index.remove(gone)
        left = np.setdiff1d(np.arange(N), gone)
        for allowed, where in ((left, None), (left[left % 7 == 3], {"n": 3}), (left[left < 20], None)):
            allow = None if where is not None or allowed is left else left[left < 20]
            result = index.search(queries, k=9, threads=threads, where=where, allow=allow)
            for q, query in enumerate(queries):
                rows, distances = nearest(metric, vectors[allowed], query, 9)
                assert result.ids[q].tolist() == allowed[rows].tolist()
                assert result.distances[q].tobytes() == distances.tobytes()
        rows, distances = nearest(metric, vectors[left], queries[0], 30)
        radius = float(distances[-1])
        within = index.range_search(queries[0], radius, threads=threads)
        assert within.ids.tolist() == left[rows].tolist()
        assert within.distances.tobytes() == distances.tobytes()
        assert index.search(queries, k=9, rerank=np.int64(0)).ids.tolist() == index.search(queries, k=9).ids.tolist()
        assert index.search(queries, k=9, rerank=50).ids.tolist() == index.search(queries, k=9).ids.tolist()


def test_two_rows_of_an_index_that_is_not_trained(tmp_path: Path) -> None:
    with pqstore.Index.create(tmp_path / "i", dim=3) as index:
        assert len(index) == 0
        assert index.search([0.0, 0, 0], k=2).ids.tolist() == [-1, -1]
        index.add([[1.0, 0, 0], [0, 2, 0]], payloads=[{"a": 1}, None])
        ids, distances = index.search([1.0, 0, 0], k=5)
        assert ids.tolist() == [0, 1, -1, -1, -1]
        assert distances.tolist() == [0.0, 5.0, np.inf, np.inf, np.inf]
        record = index.get(0)
        assert record.is_original
        assert record.vector.tolist() == [1, 0, 0]
        assert index.phase == index.stats().phase == "exact"
        assert index.dim == 3
        assert "exact until" in repr(index)
    with pqstore.Index.open(tmp_path / "i") as index:
        assert index.search([1.0, 0, 0], k=1).ids.tolist() == [0]
        assert index.verify(deep=True) == []


def test_the_life_of_rows(tmp_path: Path, vectors: np.ndarray) -> None:
    """Upsert, payloads, sets, transactions, snapshots, compaction, backup and repair."""
    with pqstore.Index.create(tmp_path / "i", dim=D, id_type="str", train_at=None) as index:
        names = [f"v{n}" for n in range(N)]
        index.add(vectors, ids=names, payloads=[{"n": n} for n in range(N)])
        with index.snapshot() as snapshot:
            index.upsert(vectors[:5] + 1, ids=names[:5])
            index.update_payload(names[6], {"m": 1})
            assert snapshot.get("v0").vector.tolist() == vectors[0].tolist()
            assert index.get("v0").vector.tolist() == (vectors[0] + 1).tolist()
            assert index.get("v6").payload == {"n": 6, "m": 1}
            assert index.get("v6").vector.tolist() == vectors[6].tolist()
        index.save_set("some", names[10:12])
        assert set(index.search(vectors[20], k=5, allow="some").ids) >= {"v10", "v11"}
        with index.transaction() as txn:
            txn.delete({"n": {"$gte": 800}})
            txn.add(vectors[:1], ids=["new"])
            assert txn.search(vectors[0], k=1).ids.tolist() == ["new"]
        index.compact()
        index.backup(tmp_path / "copy")
        assert index.verify(deep=True) == []
        expected = index.search(vectors[50:60], k=3)
    pqstore.Index.repair(tmp_path / "i", tmp_path / "saved")
    for name in ("copy", "saved"):
        with pqstore.Index.open(tmp_path / name) as other:
            again = other.search(vectors[50:60], k=3)
            assert again.ids.tolist() == expected.ids.tolist()
            assert again.distances.tobytes() == expected.distances.tobytes()
            assert other.phase == "exact"


def test_what_needs_codes_says_so(tmp_path: Path, vectors: np.ndarray) -> None:
    with pqstore.Index.create(tmp_path / "i", dim=D, train_at=None) as index:
        index.add(vectors)
        for call in (
            lambda: index.codes(0),
            lambda: index.add_codes(np.zeros((1, 3), dtype=np.uint8)),
            lambda: list(index.iter_codes()),
            lambda: index.to_faiss(tmp_path / "f"),
            index.partition,
        ):
            with pytest.raises(NotTrainedError, match="before it is trained"):
                call()
        assert not (tmp_path / "f").exists()
        for call in (index.recall_report, index.calibrate):
            with pytest.raises(NotTrainedError, match="before it is trained"):
                call(vectors[:5])
        assert np.array_equal(index.reconstruct([3, 4]), vectors[3:5])


def test_bad_arguments(tmp_path: Path, vectors: np.ndarray, small_pq: pqstore.PQ) -> None:
    create = pqstore.Index.create
    for error, arguments in (
        (NotTrainedError, {}),
        (NotTrainedError, {"quantizer": pqstore.PQ(M=4)}),
        (DimensionError, {"quantizer": pqstore.PQ(M=5), "dim": D}),
        (DimensionError, {"quantizer": small_pq, "dim": small_pq.D + 1}),
        (ValueError, {"dim": 0}),
        (ValueError, {"dim": 2**21}),
        (TypeError, {"dim": 3.5}),
        (TypeError, {"dim": True}),
        (ValueError, {"dim": D, "train": "soon"}),
        (ValueError, {"dim": D, "train_at": 0}),
        (ValueError, {"dim": D, "train_at": 2**70}),
        (TypeError, {"dim": D, "train_at": True}),
        (ValueError, {"dim": D, "retrain": "often"}),
        (ValueError, {"dim": D, "originals": "float64"}),
        (TypeError, {"dim": D, "quantizer": "PQ"}),
    ):
        with pytest.raises(error):
            create(tmp_path / "i", **arguments)
        assert not (tmp_path / "i").exists()
    with create(tmp_path / "i", dim=D) as index:
        index.add(vectors[:1])
        for error, wrong in ((DimensionError, vectors[:, :5]), (InvalidVectorError, vectors * np.float32("nan"))):
            with pytest.raises(error):
                index.add(wrong)
            with pytest.raises(error):
                index.search(wrong[0], k=1)
        assert len(index) == 1


def test_settings_that_lie(tmp_path: Path) -> None:
    from pqstore.index.settings import packing_of

    sound = {"D": 8, "originals": None, "train": "auto", "train_at": 5, "retrain": "auto"}
    quantizer = {"kind": "PQ", "M": 2, "Ks": 16, "D": None, "metric": "l2"}
    packing_of({"metric": "l2", "quantizer": quantizer, "exact": sound})
    for wrong in (
        None,
        {},
        {**sound, "D": 2**40},
        {**sound, "D": 7},
        {**sound, "D": "8"},
        {**sound, "train": "never"},
        {**sound, "train_at": -1},
        {**sound, "retrain": "often"},
        {**sound, "originals": "float8"},
        {**sound, "more": 1},
    ):
        with pytest.raises(CorruptIndexError):
            packing_of({"metric": "l2", "quantizer": quantizer, "exact": wrong})


def test_a_plan_names_the_phase(tmp_path: Path) -> None:
    vectors = np.random.default_rng(1).standard_normal((60, 4)).astype(np.float32)
    wish = pqstore.PQ(M=2, Ks=16, verbose=False)
    with pqstore.Index.create(tmp_path / "i", wish, dim=4, train="manual", fields=["n"]) as index:
        index.add(vectors, payloads=[{"n": 1}] * 60)
        for where in (None, {"n": 1}, {"n": 2}):
            assert index.search(vectors[0], k=1, where=where, explain=True).plan.phase == "exact"
        index.train()
        index.partition(2)
        for where in (None, {"n": 1}, {"n": 2}):
            assert index.search(vectors[0], k=1, where=where, nprobe=1, explain=True).plan.phase == "codes"


def test_a_vector_without_a_direction_is_refused_as_it_is_later(tmp_path: Path) -> None:
    """One of them, taken before training, kept the index from ever being trained."""
    vectors = np.ones((3, 4), dtype=np.float32)
    vectors[1] = 0
    for metric in METRICS:
        with pqstore.Index.create(tmp_path / metric, dim=4, metric=metric) as index:
            if metric == "cosine":
                with pytest.raises(InvalidVectorError, match="row 1 is zero"):
                    index.add(vectors)
                assert len(index) == 0
            else:
                index.add(vectors)
