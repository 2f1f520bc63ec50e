"""Paths: a home directory is found, and what no file system could hold is refused in our own words everywhere."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import pqstore
from pqstore.paths import as_path

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
    with pytest.raises(pqstore.InvalidPathError, match="cannot be that of a file"):
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
