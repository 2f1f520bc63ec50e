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
