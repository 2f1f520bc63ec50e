"""Arguments that cannot be meant get a clear error of their own kind, and nothing is lost."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import pqstore
from tests.unit.index.contents import GOOD, vectors


def test_bad_arguments(filled, tmp_path, small_pq) -> None:
    query = vectors()[0]
    for options, error in (
        ({"rerank": 4, "k": 5}, ValueError),
        ({"rerank": "best"}, ValueError),
        ({"rerank": True}, TypeError),
        ({"rerank": 10.5}, TypeError),
        ({"include": ("payloads",)}, ValueError),
        ({"allow": ["a"]}, pqstore.InvalidIdError),
    ):
        with pytest.raises(error):
            filled.search(query, **options)
    for radius, error in ((float("nan"), ValueError), ("1", TypeError), (None, TypeError), ([1.0], TypeError)):
        with pytest.raises(error, match="radius"):
            filled.range_search(query, radius)
    with pytest.raises(ValueError, match="limit"):
        filled.range_search(query, 1.0, limit=0)
    with pytest.raises(ValueError, match="codes"):
        filled.add_codes(np.zeros((1, 4), dtype=np.uint8))
    with pytest.raises(ValueError, match="every vector"):
        filled.delete({})
    with pytest.raises(ValueError, match="delete needs"):
        filled.delete()
    with pytest.raises(ValueError, match="originals must be"):
        pqstore.Index.create(tmp_path / "x", small_pq, originals="float8")
    with pytest.raises(ValueError, match="field"):
        pqstore.Index.create(tmp_path / "x", small_pq, fields=["$n"])
    assert not (tmp_path / "x").exists()
    with pytest.raises(pqstore.InvalidIdError):
        filled.upsert(vectors()[:1], None)
    with pytest.raises(pqstore.UnknownIdError):
        filled.get([1, 10**7])
    assert filled.get([10**7, 1], missing="ignore")[0] is None
    with pytest.raises(pqstore.DuplicateIdError):
        filled.update_payload([1, 1], {})
    with pytest.raises(ValueError, match="after"):
        filled.scroll(after="7")


@pytest.mark.parametrize(("k", "error"), [(0, ValueError), (-3, ValueError), (1.5, TypeError), ("3", TypeError)])
def test_k(index: pqstore.Index, k, error) -> None:
    with pytest.raises(error, match="k must be"):
        index.search(GOOD, k=k)


@pytest.mark.parametrize(("threads", "error"), [(0, ValueError), (-1, ValueError), (1.5, TypeError)])
def test_threads(index: pqstore.Index, threads, error) -> None:
    with pytest.raises(error):
        index.search(GOOD, threads=threads)


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
