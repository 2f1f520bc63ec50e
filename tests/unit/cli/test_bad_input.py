"""Bad input: one line that names what is wrong, status 2, nothing half-made."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import pqstore
from pqstore.cli import main


@pytest.fixture
def bad(files: Path) -> Path:
    vectors = np.load("vectors.npy")
    Path("notes.txt").write_text("hello")
    np.save("narrow.npy", np.zeros((2, 3)))
    np.save("few.npy", np.arange(4))
    np.save("objects.npy", np.array([["a"], [None]], dtype=object), allow_pickle=True)
    Path("cut.npy").write_bytes(Path("vectors.npy").read_bytes()[:-40])
    Path("cut.fvecs").write_bytes(Path("vectors.fvecs").read_bytes()[:-40])
    Path("huge.fvecs").write_bytes((2**31 - 1).to_bytes(4, "little") + b"\0" * 60)
    Path("cut.faiss").write_bytes(Path("vectors.faiss").read_bytes()[:-40])
    Path("cut.pkl").write_bytes(Path("nanopq.pkl").read_bytes()[:-40])
    with_nan = vectors.copy()
    with_nan[1100, 3] = np.nan
    np.save("nan.npy", with_nan)
    Path("twice.txt").write_text("\n".join(str(min(n, 1198)) for n in range(1200)))
    codes = np.load("codes.npy").astype(np.int64)
    codes[700, 2] = 32
    np.save("beyond.npy", codes)
    np.save("wide.npy", np.zeros((5, 9), dtype=np.uint8))
    Path("broken.jsonl").write_text('1\n{"a": 1}\n')
    (files / "empty").mkdir()
    return files


LINES = [
    ("search nowhere queries.npy", "nowhere"),
    ("search my-index missing.npy", "missing.npy"),
    ("search my-index notes.txt", "notes.txt"),
    ("search my-index objects.npy", "objects.npy"),
    ("search my-index queries.npy -k 0", "k must be"),
    ("search my-index narrow.npy", "32"),
    ("search my-index queries.npy --out found.csv", "found.csv"),
    ("search my-index queries.npy --truth few.npy", "few.npy"),
    ("build vectors.npy my-index --M 8", "my-index"),
    ("build vectors.npy other --M 7", "7"),
    ("build vectors.npy other --M 8 --metric cosmic", "cosmic"),
    ("build vectors.npy nowhere/other --M 8", "nowhere"),
    ("build vectors.npy other --M 8 --commit-rows 0", "commit-rows"),
    ("build cut.npy other --M 8", "cut.npy"),
    ("build cut.fvecs other --M 8", "cut.fvecs"),
    ("build huge.fvecs other --M 8", "huge.fvecs"),
    ("build empty other --M 8", "empty"),
    ("build nan.npy other --M 8 --Ks 16 --train vectors.npy", "1100"),
    ("build vectors.npy other --M 8 --Ks 16 --ids few.npy", "1200"),
    ("build vectors.npy other --M 8 --Ks 16 --ids twice.txt", "1198"),
    ("build vectors.npy other --M 8 --train narrow.npy", "3"),
    ("build few.npy other --M 8", "few.npy"),
    ("add my-index vectors.npy --ids few.npy", "1200"),
    ("add my-index more.npy --ids more-ids.txt", "1180"),
    ("add my-index narrow.npy", "32"),
    ("add my-index nan.npy", "1100"),
    ("remove my-index 999999", "999999"),
    ("remove my-index seven", "seven"),
    ("remove my-index", "ids"),
    ("remove my-index --ids broken.jsonl", "line 2"),
    ("verify nowhere", "nowhere"),
    ("compact nowhere", "nowhere"),
    ("backup my-index exported-codes", "exported-codes"),
    ("repair my-index exported-codes", "exported-codes"),
    ("export my-index exported-codes --to npy", "exported-codes"),
    ("export my-index other --to parchment", "parchment"),
    ("import cut.faiss other", "cut.faiss"),
    ("import notes.txt other", "notes.txt"),
    ("import cut.pkl other", "cut.pkl"),
    ("import missing.faiss other", "missing.faiss"),
    ("import vectors.faiss other --ids few.npy", "1200"),
    ("import vectors.faiss other --quantizer nanopq.pkl", "--quantizer"),
    ("import nanopq.pkl other --ids few.npy", "--ids"),
    ("import codes.npy other", "--quantizer"),
    ("import codes.npy other --quantizer nanopq.pkl --ids few.npy", "few.npy"),
    ("import codes.npy other --quantizer notes.txt", "notes.txt"),
    ("import beyond.npy other --quantizer nanopq.pkl", "beyond.npy"),
    ("import wide.npy other --quantizer nanopq.pkl", "wide.npy"),
    ("import vectors.npy other --quantizer nanopq.pkl", "integers"),
    ("import empty other", "empty"),
    ("recall vectors.npy --M 5", "5"),
    ("recall vectors.npy --M eight", "eight"),
    ("recall vectors.npy --kinds ivf", "ivf"),
    ("recall vectors.npy --target 2", "target"),
    ("recall vectors.npy --sample 1", "sample"),
    ("recall vectors.npy --queries narrow.npy --M 8", "32"),
    ("recall - --M 8", "standard input"),
    ("bench nowhere", "nowhere"),
    ("bench my-index --seconds 0", "seconds"),
    ("completion fortran", "fortran"),
    ("frobnicate", "frobnicate"),
    ("", "VERB"),
]


@pytest.mark.parametrize(("line", "words"), LINES)
def test_errors_are_one_line_and_status_2(bad: Path, capsys, line: str, words: str) -> None:
    before = sorted(str(path) for path in Path().iterdir())
    assert main(line.split()) == 2
    captured = capsys.readouterr()
    told = captured.err.splitlines()[-1]
    assert told.startswith("pqstore")
    assert words in told
    assert len(captured.err.splitlines()) == 1, captured.err
    assert "Traceback" not in captured.err
    assert sorted(str(path) for path in Path().iterdir()) == before, "something was left behind"
    with pqstore.Index.open("my-index") as index:
        assert len(index) == 1200


def test_a_pickle_that_names_other_classes_is_refused(bad: Path, capsys) -> None:
    Path("evil.pkl").write_bytes(b"cos\nsystem\n(S'touch owned'\ntR.")
    assert main("import evil.pkl other".split()) == 2
    assert "os.system" in capsys.readouterr().err
    assert not Path("owned").exists()


def test_a_library_that_is_missing_names_its_extra(bad: Path, capsys, monkeypatch) -> None:
    for library, line, extra in (
        ("matplotlib.figure", "recall vectors.npy --M 8 --plot a.png", "pqstore[plot]"),
        ("shtab", "completion bash", "pqstore[cli]"),
    ):
        monkeypatch.setitem(sys.modules, library, None)
        assert main(line.split()) == 2
        error = capsys.readouterr().err
        assert extra in error
        assert len(error.splitlines()) == 1


def test_standard_input_cut_short(bad: Path) -> None:
    command = "head -c 20000 vectors.npy | " + f"{sys.executable} -m pqstore add my-index -"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "standard input" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    with pqstore.Index.open("my-index") as index:
        assert len(index) == 1200


def test_standard_input_needs_training_vectors(bad: Path, run_line, capsys) -> None:
    assert run_line("pqstore build - other --M 8 < vectors.npy") == 2
    assert "--train" in capsys.readouterr().err
    assert not Path("other.building").exists()


def test_json_output_stays_json_when_something_is_wrong(bad: Path, capsys) -> None:
    assert main("search my-index narrow.npy --format json".split()) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert main("search my-index queries.npy --format json".split()) == 0
    for line in capsys.readouterr().out.splitlines():
        json.loads(line)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["search", "my-index", "queries.npy", "--where", "{lang: de}"], "--where: a JSON object expected"),
        (["search", "my-index", "queries.npy", "--where", "[1]"], "list"),
        (["search", "my-index", "queries.npy", "--where", '{"year": {"$near": 3}}'], "$near"),
        (["search", "my-index", "queries.npy", "--rerank", "5"], "rerank"),
        (["search", "my-index", "queries.npy", "--rerank", "many"], "many"),
        (["search", "plain", "queries.npy", "--rerank", "50"], "originals"),
        (["search", "my-index", "queries.npy", "--allow", "yours"], "'yours' (sets: 'mine')"),
        (["count", "my-index", "--deny", "yours"], "'yours'"),
        (["sets", "my-index", "--save", "yours"], "--ids FILE"),
        (["sets", "my-index", "--save", "yours", "--ids", "names.txt"], "int64 ids"),
        (["sets", "my-index", "--drop", "yours"], "'yours'"),
        (["calibrate", "plain", "queries.npy"], "originals"),
        (["calibrate", "my-index", "queries.npy", "--recall", "2"], "recall"),
        (["remove", "my-index", "5", "--where", "{}"], "not both"),
        (["remove", "my-index", "--where", "{}"], "every vector"),
        (["add", "my-index", "more.npy", "--payloads", "payloads.jsonl"], "payloads.jsonl holds 1200 lines"),
        (["add", "my-index", "more.npy", "--payloads", "list.jsonl"], "list.jsonl: line 50"),
        (["add", "my-index", "more.npy", "--payloads", "torn.jsonl"], "torn.jsonl: line 2"),
        (["build", "more.npy", "other", "--M", "8", "--Ks", "16", "--payloads", "torn.jsonl"], "torn.jsonl: line 2"),
        (["build", "more.npy", "other", "--M", "8", "--Ks", "16", "--payloads", "large.jsonl"], "64 bits"),
        (["build", "more.npy", "other", "--M", "8", "--originals", "float8"], "float8"),
        (["recall", "my-index", "vectors.npy", "--rerank", "5"], "rerank"),
    ],
)
def test_bad_input_is_one_line(files: Path, capsys, words: list[str], told: str) -> None:
    lines = Path("more.jsonl").read_text().splitlines()
    Path("list.jsonl").write_text("\n".join([*lines[:-1], "[1, 2]"]))
    Path("torn.jsonl").write_text("\n".join([lines[0], '{"lang": "d', *lines[2:]]))
    Path("large.jsonl").write_text("\n".join([*lines[:-1], '{"n": 100000000000000000000}']))
    assert main("import exported-codes plain".split()) == 0
    capsys.readouterr()
    before = sorted(str(path) for path in Path().iterdir())
    assert main(words) == 2
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1
    assert told in error
    assert sorted(str(path) for path in Path().iterdir()) == before
    with pqstore.Index.open("my-index") as index:
        assert len(index) == 1200
