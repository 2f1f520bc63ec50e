"""Bad input gets a clear error of its own kind, and nothing is lost."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import pqstore

GOOD = np.random.default_rng(0).standard_normal((5, 8)).astype(np.float32)


@pytest.fixture
def index(tmp_path: Path, small_pq: pqstore.PQ):
    with pqstore.Index.create(tmp_path / "index", small_pq) as index:
        index.add(GOOD, ids=[10, 11, 12, 13, 14])
        yield index
        assert list(index) == [10, 11, 12, 13, 14], "a refused call changes nothing"
        assert index.verify(deep=True) == []


@pytest.fixture
def named(tmp_path: Path, small_pq: pqstore.PQ):
    with pqstore.Index.create(tmp_path / "named", small_pq, id_type="str") as index:
        index.add(GOOD[:1], ids=["a"])
        yield index
        assert list(index) == ["a"], "a refused call changes nothing"


def spoilt(value: float) -> np.ndarray:
    vectors = np.tile(GOOD, (20, 1))
    vectors[97, 3] = value
    return vectors


@pytest.mark.parametrize(
    ("vectors", "error"),
    [
        (np.zeros((2, 9)), pqstore.DimensionError),
        (np.zeros((2, 7)), pqstore.DimensionError),
        (np.zeros(9), pqstore.DimensionError),
        (np.float32(1), pqstore.DimensionError),
        (np.zeros((2, 2, 8)), pqstore.DimensionError),
        (spoilt(np.nan), pqstore.InvalidVectorError),
        (spoilt(-np.inf), pqstore.InvalidVectorError),
        (np.full((1, 8), 1e39), pqstore.InvalidVectorError),
        (np.full((1, 8), 10**400, dtype=object), pqstore.InvalidVectorError),
        (np.zeros((2, 8), dtype=complex), pqstore.InvalidVectorError),
        (np.full((2, 8), "1"), pqstore.InvalidVectorError),
        ([[1.0] * 8, [1.0] * 7], (pqstore.DimensionError, pqstore.InvalidVectorError)),
        (None, (pqstore.DimensionError, pqstore.InvalidVectorError)),
    ],
)
def test_vectors_that_cannot_be_meant(index: pqstore.Index, vectors, error) -> None:
    with pytest.raises(error):
        index.add(vectors)
    with pytest.raises(error):
        index.search(vectors)


@pytest.mark.parametrize(
    "vectors",
    [
        GOOD.tolist(),
        GOOD.astype(np.float64),
        GOOD.astype(">f4"),
        np.asfortranarray(GOOD),
        np.repeat(GOOD, 2, axis=1)[:, ::2],
        np.frombuffer(GOOD.tobytes(), dtype=np.float32).reshape(5, 8),
        GOOD[0],
    ],
    ids=["list", "float64", "big-endian", "fortran", "strided", "read-only", "one"],
)
def test_vectors_of_other_kinds_are_taken(index: pqstore.Index, vectors) -> None:
    ids = index.add(vectors)
    expected = index.quantizer.encode(np.atleast_2d(np.asarray(vectors, dtype=np.float32)))
    np.testing.assert_array_equal(index.codes(ids), expected)
    assert index.search(vectors, k=1).ids.size == len(ids)
    index.remove(ids)


@pytest.mark.parametrize("dtype", [np.float16, np.int8, np.uint8, np.int64])
def test_integers_and_halves_are_taken(index: pqstore.Index, dtype) -> None:
    vectors = (GOOD * 3).astype(dtype)
    np.testing.assert_array_equal(
        index.search(vectors, k=3).distances, index.search(vectors.astype(np.float32), k=3).distances
    )


@pytest.mark.parametrize("nothing", [np.empty((0, 8)), [], np.empty((0, 8), dtype=np.uint8)])
def test_an_empty_batch_is_a_no_op(index: pqstore.Index, nothing) -> None:
    assert index.add(nothing).shape == (0,)
    assert index.add(nothing, ids=[]).dtype == np.int64
    assert index.remove([]) == 0
    assert index.add_codes(np.empty((0, 4), dtype=np.uint8)).shape == (0,)


@pytest.mark.parametrize(
    ("ids", "error"),
    [
        ([1, 2], pqstore.DimensionError),
        ([1, 2, 3, 4, 5, 6], pqstore.DimensionError),
        (np.ones((5, 1), dtype=np.int64), pqstore.DimensionError),
        ([1, 2, 3, 4, 1], pqstore.DuplicateIdError),
        ([1, 2, 3, 4, 14], pqstore.DuplicateIdError),
        ([1, 2, 3, 4, 2**63], pqstore.InvalidIdError),
        ([1, 2, 3, 4, -(2**63) - 1], pqstore.InvalidIdError),
        (np.array([1, 2, 3, 4, 2**63], dtype=np.uint64), pqstore.InvalidIdError),
        (["1", "2", "3", "4", "5"], pqstore.InvalidIdError),
        ([1, 2, 3, 4, "5"], pqstore.InvalidIdError),
        ([1, 2, 3, 4, 5.0], pqstore.InvalidIdError),
        ([1, 2, 3, 4, True], pqstore.InvalidIdError),
        ([1, 2, 3, 4, None], pqstore.InvalidIdError),
        (np.arange(5.0), pqstore.InvalidIdError),
        ("12345", pqstore.InvalidIdError),
        (7.5, pqstore.InvalidIdError),
    ],
)
def test_int64_ids_that_cannot_be_meant(index: pqstore.Index, ids, error) -> None:
    with pytest.raises(error):
        index.add(GOOD, ids=ids)
    with pytest.raises(error):
        index.add(iter([GOOD]), ids=ids)


def test_the_ends_of_int64_are_ids(index: pqstore.Index) -> None:
    ends = [2**63 - 1, -(2**63), np.int32(5), np.uint8(6)]
    index.add(GOOD[:4], ids=ends)
    assert 2**63 - 1 in index
    with pytest.raises(pqstore.InvalidIdError, match="automatic"):
        index.add(GOOD[:1])
    index.remove(ends)


@pytest.mark.parametrize("ids", [[""], ["x" * 10_000], ["é" * 2100], [5], [b"a"], [None], ["\ud800"], np.array([1])])
def test_str_ids_that_cannot_be_meant(named: pqstore.Index, ids) -> None:
    with pytest.raises(pqstore.InvalidIdError):
        named.add(GOOD[:1], ids=ids)
    with pytest.raises(pqstore.InvalidIdError):
        named.remove(ids)


def test_ids_twice_in_a_batch_of_names(named: pqstore.Index) -> None:
    for policy in ("error", "skip", "replace"):
        with pytest.raises(pqstore.DuplicateIdError, match="positions 0 and 2"):
            named.add(GOOD[:3], ids=["b", "c", "b"], on_conflict=policy)


@pytest.mark.parametrize(("k", "error"), [(0, ValueError), (-3, ValueError), (1.5, TypeError), ("3", TypeError)])
def test_k(index: pqstore.Index, k, error) -> None:
    with pytest.raises(error, match="k must be"):
        index.search(GOOD, k=k)


@pytest.mark.parametrize(("threads", "error"), [(0, ValueError), (-1, ValueError), (1.5, TypeError)])
def test_threads(index: pqstore.Index, threads, error) -> None:
    with pytest.raises(error):
        index.search(GOOD, threads=threads)


@pytest.mark.parametrize(
    ("codes", "error"),
    [
        (np.full((1, 4), 32, dtype=np.uint8), pqstore.InvalidCodeError),
        (np.full((1, 4), -1), pqstore.InvalidCodeError),
        (np.zeros((1, 5), dtype=np.uint8), pqstore.DimensionError),
        (np.zeros((1, 4, 1), dtype=np.uint8), pqstore.DimensionError),
        (np.zeros((1, 4)), pqstore.InvalidCodeError),
    ],
)
def test_codes_that_cannot_be_meant(index: pqstore.Index, codes, error) -> None:
    with pytest.raises(error):
        index.add_codes(codes)


def test_unknown_words(index: pqstore.Index, small_pq: pqstore.PQ, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="on_conflict"):
        index.add(GOOD, on_conflict="overwrite")
    with pytest.raises(ValueError, match="missing"):
        index.remove([1], missing="skip")
    for argument in ({"id_type": "uuid"}, {"metric": "manhattan"}, {"durability": "none"}):
        with pytest.raises(ValueError, match=next(iter(argument))):
            pqstore.Index.create(tmp_path / "other", small_pq, **argument)
    with pytest.raises(TypeError, match="PQ"):
        pqstore.Index.create(tmp_path / "other", "pq")
    assert not (tmp_path / "other").exists()


def test_unknown_ids(index: pqstore.Index) -> None:
    with pytest.raises(pqstore.UnknownIdError, match="2 of 3 ids are not in the index: 99, 98"):
        index.remove([99, 10, 98])
    with pytest.raises(KeyError):
        index.reconstruct(99)
    with pytest.raises(pqstore.UnknownIdError):
        index.codes([10, 99])
    assert index.remove([99, 98], missing="ignore") == 0


def test_untrained_quantizer(tmp_path: Path) -> None:
    with pytest.raises(pqstore.NotTrainedError):
        pqstore.Index.create(tmp_path / "index", pqstore.PQ(M=4, verbose=False))
    assert not (tmp_path / "index").exists()


def test_paths_that_are_no_index(tmp_path: Path, small_pq: pqstore.PQ) -> None:
    with pytest.raises(pqstore.IndexNotFoundError):
        pqstore.Index.open(tmp_path / "missing")
    (tmp_path / "file").write_text("hello")
    with pytest.raises((pqstore.IndexNotFoundError, NotADirectoryError), match="file"):
        pqstore.Index.open(tmp_path / "file")
    (tmp_path / "directory").mkdir()
    with pytest.raises(pqstore.IndexNotFoundError):
        pqstore.Index.open(tmp_path / "directory")
    assert list((tmp_path / "directory").iterdir()) == [], "looking leaves nothing behind"
    (tmp_path / "directory" / "note.txt").write_text("mine")
    for taken in ("file", "directory"):
        with pytest.raises(pqstore.IndexExistsError):
            pqstore.Index.create(tmp_path / taken, small_pq)
    assert (tmp_path / "directory" / "note.txt").read_text() == "mine"


@pytest.mark.parametrize("size", [0, 100, 4096, 20_000])
def test_truncated_files(tmp_path: Path, small_pq: pqstore.PQ, size: int) -> None:
    with pqstore.Index.create(tmp_path / "index", small_pq) as index:
        index.add(np.tile(GOOD, (2000, 1)))
    (data,) = (tmp_path / "index").rglob("data.mdb")
    data.write_bytes(data.read_bytes()[:size])
    with pytest.raises(pqstore.CorruptIndexError):
        pqstore.Index.open(tmp_path / "index")
