"""Open what is there, or make it, in many processes at once."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

import pqstore

ROOT = Path(__file__).parents[3]
WORKER = """
import sys
import numpy as np, pqstore
X = np.load(sys.argv[1])
pq = pqstore.PQ(M=4, Ks=16, verbose=False).fit(X, iter=1)
print("ready", flush=True)
for line in sys.stdin:
    path = line.strip()
    if sys.argv[2] == "create":
        try:
            pqstore.Index.create(path, pq).close()
            print("made", flush=True)
        except pqstore.IndexExistsError:
            print("there", flush=True)
    else:
        with pqstore.Index.open_or_create(path, pq) as index:
            index.add(X[:1])
        print("opened", flush=True)
"""


@pytest.fixture
def vectors() -> np.ndarray:
    return np.random.default_rng(5).standard_normal((200, 8)).astype(np.float32)


@pytest.fixture
def pq(vectors: np.ndarray) -> pqstore.PQ:
    return pqstore.PQ(M=4, Ks=16, verbose=False).fit(vectors, iter=1)


def at_once(tmp_path: Path, vectors: np.ndarray, verb: str, count: int, rounds: int, there: bool) -> list[list[str]]:
    """What each of several processes says of each path, that they are told at the same time."""
    np.save(tmp_path / "x.npy", vectors)
    command = [sys.executable, "-c", textwrap.dedent(WORKER), str(tmp_path / "x.npy"), verb]
    workers = [
        subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(count)
    ]
    said = []
    try:
        for worker in workers:
            assert worker.stdout.readline() == "ready\n"
        for number in range(rounds):
            path = tmp_path / f"index{number}"
            if there:
                path.mkdir()
            for worker in workers:
                worker.stdin.write(f"{path}\n")
                worker.stdin.flush()
            said.append([worker.stdout.readline().strip() for worker in workers])
    finally:
        for worker in workers:
            worker.stdin.close()
            worker.wait(60)
            worker.stdout.close()
    return said


@pytest.mark.parametrize("there", [False, True])
def test_of_processes_that_create_at_once_one_does(tmp_path: Path, vectors: np.ndarray, there: bool) -> None:
    """A raw OSError 39 in most of them, once."""
    for said in at_once(tmp_path, vectors, "create", 4, 8, there):
        assert sorted(said) == ["made", "there", "there", "there"]


@pytest.mark.parametrize("there", [False, True])
def test_processes_that_open_or_create_at_once_have_one_index(tmp_path: Path, vectors: np.ndarray, there: bool) -> None:
    for number, said in enumerate(at_once(tmp_path, vectors, "open_or_create", 4, 8, there)):
        assert said == ["opened"] * 4
        with pqstore.Index.open(tmp_path / f"index{number}") as index:
            assert list(index) == [0, 1, 2, 3]
    assert not list(tmp_path.rglob("*unfinished*"))


def test_a_function_is_called_only_where_there_is_no_index(tmp_path: Path, pq: pqstore.PQ) -> None:
    calls: list[int] = []

    def trained() -> pqstore.PQ:
        calls.append(1)
        return pq

    for _ in range(2):
        with pqstore.Index.open_or_create(tmp_path / "i", trained, fields=["year"]) as index:
            assert index.quantizer == pq
            assert index.fields == ("year",)
    assert calls == [1]


def test_an_index_that_is_not_what_was_asked_for_is_refused(tmp_path: Path, pq: pqstore.PQ) -> None:
    path = tmp_path / "i"
    pqstore.Index.create(path, pq, originals="int8").close()
    other = pqstore.PQ(M=4, Ks=16, verbose=False).fit(np.random.default_rng(0).random((100, 12), np.float32), iter=1)
    with pytest.raises(pqstore.DimensionError, match="dimension 8"):
        pqstore.Index.open_or_create(path, other)
    for wrong in ({"id_type": "str"}, {"metric": "dot"}, {"originals": "float32"}):
        with pytest.raises(ValueError, match=f"{next(iter(wrong))}=.*choose another path"):
            pqstore.Index.open_or_create(path, pq, **wrong)
    with pqstore.Index.open_or_create(path, pq, metric="l2", originals="int8") as index:
        assert len(index) == 0


def test_what_is_no_index_is_not_touched(tmp_path: Path, pq: pqstore.PQ) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "letter").write_text("dear")
    with pytest.raises(pqstore.IndexExistsError):
        pqstore.Index.open_or_create(tmp_path / "other", pq)
    assert [entry.name for entry in (tmp_path / "other").iterdir()] == ["letter"]
    with pytest.raises(TypeError):
        pqstore.Index.open_or_create(tmp_path / "new", "pq")  # type: ignore[arg-type]


@pytest.mark.parametrize("originals", ["float16", "int8", "float32", None, "default"])
@pytest.mark.parametrize("scale", [1, 1e6])
def test_an_application_that_starts_again_with_the_same_arguments(tmp_path, originals, scale) -> None:
    """The index was refused at the second start, since vectors are float32 before it is trained."""
    vectors = (np.random.default_rng(0).standard_normal((40, 8)) * scale).astype(np.float32)
    settings = {"dim": 8, "metric": "cosine", "originals": originals, "train_at": 30}
    wish = pqstore.PQ(M=2, Ks=16, verbose=False)
    for number in range(4):  # empty, exact, trained, trained
        with pqstore.Index.open_or_create(tmp_path / "i", wish, **settings) as index:
            index.add(vectors[number * 10 : number * 10 + 10])
    assert index.phase == "codes"
    with pytest.raises(ValueError, match="is there already"):
        pqstore.Index.open_or_create(tmp_path / "i", dim=8, originals="int8" if originals != "int8" else "float16")
