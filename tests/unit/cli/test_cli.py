"""The command line: each verb once on real vectors, and errors in one line with status 2."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import pqstore
from pqstore.cli import main
from pqstore.cli.main import make_parser


@pytest.fixture
def files(tmp_path: Path, base, queries, truth, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    np.save("base.npy", base[:3000])
    np.save("more.npy", base[3000:3200])
    np.save("queries.npy", queries)
    np.save("truth.npy", truth)
    return tmp_path


@pytest.fixture
def built(files: Path, capsys) -> Path:
    assert main(["build", "base.npy", "index", "--M", "8", "--Ks", "64", "--iter", "3"]) == 0
    out = capsys.readouterr().out
    assert "3,000 vectors" in out
    assert "trained" in out
    return files


def test_build_add_search_remove_info_verify(built: Path, capsys) -> None:
    assert main(["add", "index", "more.npy"]) == 0
    assert "had 3,000, has 3,200" in capsys.readouterr().out
    assert main(["search", "index", "queries.npy", "-k", "7", "--out", "found.npz"]) == 0
    with np.load("found.npz") as found, pqstore.Index.open("index") as index:
        expected = index.search(np.load("queries.npy"), k=7)
        np.testing.assert_array_equal(found["ids"], expected.ids)
        np.testing.assert_array_equal(found["distances"], expected.distances)
    assert main(["remove", "index", "0", "1", "2"]) == 0
    assert "removed 3" in capsys.readouterr().out
    assert main(["info", "index"]) == 0
    out = capsys.readouterr().out
    assert "kernel" in out
    assert "3,197" in out
    assert main(["verify", "index", "--deep"]) == 0
    assert "sound: 3,197" in capsys.readouterr().out


def test_search_prints_recall_and_times(files: Path, base, capsys) -> None:
    np.save("all.npy", base)
    assert main(["build", "all.npy", "index", "--M", "16", "--iter", "2"]) == 0
    capsys.readouterr()
    assert main(["search", "index", "queries.npy", "--truth", "truth.npy"]) == 0
    out = capsys.readouterr().out
    recall = {
        int(line.split()[0][7:]): float(line.split()[1]) for line in out.splitlines() if line.startswith("recall")
    }
    assert sorted(recall) == [1, 10, 100]
    assert 0.3 < recall[1] < 0.9
    assert 0.5 < recall[10] < 0.9
    assert "ms one by one" in out


def test_named_ids(files: Path, capsys) -> None:
    Path("names.txt").write_text("\n".join(f"photo {n}" for n in range(3000)))
    assert main(["build", "base.npy", "index", "--M", "8", "--Ks", "16", "--iter", "2", "--ids", "names.txt"]) == 0
    assert main(["remove", "index", "photo 17", "photo 18"]) == 0
    capsys.readouterr()
    assert main(["search", "index", "queries.npy", "-k", "2"]) == 0
    assert "query 0: photo " in capsys.readouterr().out
    with pqstore.Index.open("index") as index:
        assert index.id_type == "str"
        assert "photo 16" in index
        assert "photo 17" not in index


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("search nowhere queries.npy", "nowhere"),
        ("search index missing.npy", "missing.npy"),
        ("search index notes.txt", "notes.txt"),
        ("search index queries.npy -k 0", "k must be"),
        ("search index narrow.npy", "128"),
        ("build base.npy index --M 8", "index"),
        ("build base.npy other --M 7", "7"),
        ("build base.npy other --M 8 --metric cosmic", "cosmic"),
        ("add index base.npy --ids few.npy", "3000"),
        ("remove index 999999", "999999"),
        ("remove index seven", "seven"),
        ("remove index", "ids"),
        ("verify nowhere", "nowhere"),
        ("frobnicate", "frobnicate"),
        ("", "VERB"),
    ],
)
def test_errors_are_one_line_and_status_2(built: Path, capsys, line: str, words: str) -> None:
    Path("notes.txt").write_text("hello")
    np.save("narrow.npy", np.zeros((2, 3)))
    np.save("few.npy", np.arange(4))
    assert main(line.split()) == 2
    captured = capsys.readouterr()
    assert len(captured.err.splitlines()) == 1
    assert captured.err.startswith("pqstore")
    assert words in captured.err
    assert "Traceback" not in captured.err
    assert not Path("other").exists()
    with pqstore.Index.open("index") as index:
        assert len(index) == 3000


def test_every_verb_has_help_with_an_example(capsys) -> None:
    verbs = make_parser()._subparsers._group_actions[0].choices
    assert {"build", "add", "search", "remove", "info", "verify"} <= set(verbs)
    for verb in verbs:
        assert main([verb, "--help"]) == 0
        assert f"pqstore {verb} " in capsys.readouterr().out.split("examples:")[1]


def test_runs_as_a_module() -> None:
    done = subprocess.run([sys.executable, "-m", "pqstore", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("pqstore ")


def test_a_reader_that_goes_away_is_no_error(built: Path) -> None:
    command = f"{sys.executable} -m pqstore search index queries.npy | head -n 1"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False)
    assert done.stdout.startswith("query 0")
    assert done.stderr == ""


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a terminal")
def test_a_terminal_gets_a_progress_bar(built: Path) -> None:
    pytest.importorskip("rich")
    master, terminal = pty.openpty()
    command = [sys.executable, "-m", "pqstore", "add", "index", "more.npy"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=terminal, check=True)
    assert select.select([master], [], [], 5)[0], "nothing was written to the terminal"
    shown = os.read(master, 100_000).decode()
    os.close(terminal)
    os.close(master)
    assert b"has 3,200" in done.stdout
    assert "adding" in shown
    assert "200/200" in shown
