"""Paths: bytes that are no text are names like any other; what can be no name is told, by every call that takes one."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pqstore
from pqstore import InvalidPathError
from pqstore.interop.corpus import open_corpus
from pqstore.interop.nanopq import load_nanopq_pickle
from pqstore.paths import as_path

VECTORS = np.random.default_rng(3).random((50, 4), dtype=np.float32)
# "café" in Latin-1, as os.fsdecode gives it.
NOT_UTF8 = os.fsdecode(b"caf\xe9")


@pytest.fixture(scope="module")
def quantizer() -> pqstore.PQ:
    return pqstore.PQ(M=2, Ks=8, verbose=False).fit(VECTORS, iter=2)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_a_name_that_is_no_text(tmp_path: Path, quantizer: pqstore.PQ) -> None:
    # The path came to LMDB as str, which has to be UTF-8: create, compact and backup raised UnicodeEncodeError.
    path = tmp_path / NOT_UTF8
    path.mkdir()
    with pqstore.Index.create(path / "i", quantizer, originals="float32") as index:
        index.add(VECTORS)
        index.remove(range(10))
        index.compact()
        index.backup(path / "copy")
        index.to_faiss(path / "i.faiss")
        assert index.verify(deep=True) == []
        assert "caf" in repr(index)
    pqstore.Index.from_faiss(path / "back", path / "i.faiss").close()
    assert pqstore.Index.repair(path / "i", path / "mended").rows_salvaged == 40
    for name in ("copy", "back", "mended"):
        with pqstore.Index.open(path / name, readonly=True) as index:
            assert list(index) == list(range(10, 50))
    quantizer.save(path / "pq.npz")
    assert pqstore.PQ.load(path / "pq.npz") == quantizer
    np.save(path / "x.npy", VECTORS)
    assert open_corpus(path / "x.npy").n == 50


@pytest.mark.parametrize("name", ["a\ud800b", "a\0b"])
def test_what_can_be_no_name_is_told_by_every_call(name: str, tmp_path: Path, quantizer: pqstore.PQ) -> None:
    sound = tmp_path / "i"
    bad = f"{tmp_path}/{name}"
    with pqstore.Index.create(sound, quantizer) as index:
        index.add(VECTORS)
        index.to_faiss(tmp_path / "i.faiss")
        calls: list[Callable[[], Any]] = [
            lambda: pqstore.Index.create(bad, quantizer),
            lambda: pqstore.Index.create(bad, quantizer, bulk=True),
            lambda: pqstore.Index.open(bad),
            lambda: pqstore.Index.open(bad, readonly=True),
            lambda: index.backup(bad),
            lambda: index.to_faiss(bad),
            lambda: pqstore.Index.from_faiss(bad, tmp_path / "i.faiss"),
            lambda: pqstore.Index.from_faiss(tmp_path / "other", bad),
            lambda: pqstore.Index.repair(bad, tmp_path / "other"),
            lambda: pqstore.Index.repair(sound, bad),
            lambda: quantizer.save(bad),
            lambda: pqstore.PQ.load(bad),
            lambda: load_nanopq_pickle(bad),
            lambda: open_corpus(bad),
            lambda: open_corpus(f"{bad}.hdf5:train"),
        ]
        for call in calls:
            with pytest.raises(InvalidPathError, match="cannot be the name of a file"):
                call()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["i", "i.faiss"]


NO_PATHS = ["bad \ud800 name", "zero \0 byte", ""]


def test_what_a_path_may_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert as_path("~/x.pqs") == as_path(Path("~/x.pqs")) == as_path(b"~/x.pqs") == tmp_path / "x.pqs"
    assert as_path("~") == tmp_path
    assert as_path("a/~/b") == Path("a/~/b")
    assert as_path("./~/b") == Path("~/b")
    assert as_path("~no one has this name/b") == Path("~no one has this name/b")
    assert as_path(os.fsdecode(b"\xff")) == Path(os.fsdecode(b"\xff")), "names of any bytes are names of files"


@pytest.mark.parametrize("path", NO_PATHS)
def test_what_no_path_can_be(path: str) -> None:
    with pytest.raises(pqstore.InvalidPathError, match="cannot be the name of a file"):
        as_path(path)


@pytest.mark.parametrize("path", [3, None, ["x"], object()])
def test_no_path_at_all(path: object) -> None:
    with pytest.raises(TypeError, match=f"got {type(path).__name__}"):
        as_path(path)


def calls(pq: pqstore.PQ, index: pqstore.Index) -> list[Callable[[Any], object]]:
    return [
        lambda path: pqstore.Index.create(path, pq),
        lambda path: pqstore.Index.create(path, pq, bulk=True),
        pqstore.Index.open,
        lambda path: pqstore.Index.repair(path, index.path + " repaired"),
        lambda path: pqstore.Index.repair(index.path, path),
        index.backup,
        index.to_faiss,
        lambda path: pqstore.Index.from_faiss(path, "no such file"),
        lambda path: pqstore.Index.from_faiss(index.path + " new", path),
        pq.save,
        pqstore.PQ.load,
    ]


@pytest.mark.parametrize("number", range(11))
@pytest.mark.parametrize("path", NO_PATHS)
def test_every_call_that_takes_a_path(path: str, number: int, tmp_path: Path, small_pq: pqstore.PQ) -> None:
    with pqstore.Index.create(tmp_path / "index", small_pq) as index:
        call = calls(small_pq, index)[number]
        with pytest.raises((pqstore.InvalidPathError, FileNotFoundError)):
            call(path)


def test_a_home_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_pq: pqstore.PQ) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    small_pq.save("~/saved.pq")
    with pqstore.Index.create("~/index", pqstore.PQ.load("~/saved.pq")) as index:
        assert index.path == str(tmp_path / "index")
        index.add([[1.0] * 8])
        index.backup("~/copy")
        index.to_faiss("~/index.faiss")
    with pqstore.Index.open("~/copy", readonly=True) as copy:
        assert len(copy) == 1
    pqstore.Index.repair("~/copy", "~/repaired")
    pqstore.Index.from_faiss("~/from faiss", "~/index.faiss").close()
    names = {"saved.pq", "index", "copy", "index.faiss", "repaired", "from faiss"}
    assert {entry.name for entry in tmp_path.iterdir()} == names
