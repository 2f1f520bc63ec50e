"""A build that is killed goes on where it stopped, and says so when it cannot."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

import pqstore
from pqstore.cli import main
from pqstore.cli.verbs import build as build_module
from tests.unit.cli.killed import KILLED, killed_at

LINE = "build vectors.npy index --M 8 --Ks 32 --iter 3 --commit-rows 300"


def assert_built_as_in_one_go(index_path: str) -> None:
    assert main(LINE.replace(" index ", " whole ").split()) == 0
    with pqstore.Index.open(index_path) as index, pqstore.Index.open("whole") as whole:
        assert list(index) == list(whole) == list(range(1200))
        np.testing.assert_array_equal(index.codes(list(index)), whole.codes(list(whole)))
        assert index.quantizer == whole.quantizer
        assert index.verify(deep=True) == []
        stats = index.stats()
        assert (stats.durability, stats.id_runs) == ("full", whole.stats().id_runs)


@pytest.mark.parametrize("turn", [1, 2, 4])
def test_goes_on_after_kill(files: Path, capsys, monkeypatch, turn: int) -> None:
    killed_at("Index", "add", turn, LINE)
    assert not Path("index").exists()
    with pqstore.Index.open("index.building/index") as unfinished:
        assert len(unfinished) == 300 * (turn - 1)
        trained = unfinished.quantizer
    # Training is not repeated: it could not be.
    with monkeypatch.context() as patch:
        patch.setattr(pqstore.PQ, "fit", None)
        assert main(LINE.split()) == 0
    captured = capsys.readouterr()
    assert (f"going on after {300 * (turn - 1)} of 1,200 rows" in captured.err) == (turn > 1)
    assert "trained" not in captured.out
    assert not Path("index.building").exists()
    with pqstore.Index.open("index") as index:
        assert index.quantizer == trained
    assert_built_as_in_one_go("index")


def test_goes_on_after_a_kill_inside_a_commit(files: Path) -> None:
    killed_at("Transaction", "append", 3, LINE)
    with pqstore.Index.open("index.building/index") as unfinished:
        assert len(unfinished) == 600
    assert main(LINE.split()) == 0
    assert_built_as_in_one_go("index")


def test_a_kill_while_training_begins_anew(files: Path) -> None:
    killed_at("PQ", "fit", 1, LINE)
    assert not Path("index.building/index").exists()
    assert main(LINE.split()) == 0
    assert_built_as_in_one_go("index")


def test_a_kill_before_the_index_gets_its_name(files: Path) -> None:
    # The last rename of a build moves the index; those before it write the record and create the index.
    killed_at("Path", "rename", count_renames(LINE), LINE)
    assert not Path("index").exists()
    assert main(LINE.split()) == 0
    assert_built_as_in_one_go("index")


def test_a_kill_after_the_index_got_its_name_leaves_what_the_next_command_removes(files: Path, capsys) -> None:
    killed_at("shutil", "rmtree", 1, LINE)
    assert Path("index").exists()
    assert Path("index.building").exists()
    assert main(LINE.split()) == 2
    assert "exists already" in capsys.readouterr().err
    assert not Path("index.building").exists()
    assert_built_as_in_one_go("index")


def count_renames(line: str) -> int:
    code = textwrap.dedent(
        """
        import sys
        from pathlib import Path
        from pqstore.cli import main
        original, turns = Path.rename, []
        Path.rename = lambda *a: (turns.append(1), original(*a))[1]
        assert main(sys.argv[1:]) == 0
        print(len(turns), file=sys.stderr)
        """
    )
    command = [sys.executable, "-c", code, *line.replace(" index ", " counted ").split()]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    shutil.rmtree("counted")
    return int(done.stderr.split()[-1])


def test_interrupt_is_told_and_keeps_what_is_done(files: Path, capsys, monkeypatch) -> None:
    original, turns = pqstore.Index.add, []

    def interrupted(*arguments, **named):
        turns.append(1)
        if len(turns) == 3:
            raise KeyboardInterrupt
        return original(*arguments, **named)

    with monkeypatch.context() as patch:
        patch.setattr(pqstore.Index, "add", interrupted)
        assert main(LINE.split()) == 130
    assert capsys.readouterr().err.splitlines()[-1].startswith("pqstore build: interrupted")
    assert main(LINE.split()) == 0
    assert_built_as_in_one_go("index")


def test_other_settings_do_not_go_on(files: Path, capsys) -> None:
    killed_at("Index", "add", 2, LINE)
    for change, words in (
        ("--M 16", "M (8, not 16)"),
        ("--opq", "opq"),
        ("--metric cosine", "metric (l2, not cosine)"),
        ("--train sample.npy", "training vectors"),
        ("--ids names.txt", "ids"),
        ("--seed 7", "seed"),
    ):
        assert main([*LINE.split(), *change.split()]) == 2
        error = capsys.readouterr().err
        assert words in error
        assert "--restart" in error
    with pqstore.Index.open("index.building/index") as unfinished:
        assert len(unfinished) == 300, "the unfinished build is as it was"
    assert main([*LINE.split(), "--seed", "7", "--restart"]) == 0
    with pqstore.Index.open("index") as index:
        assert len(index) == 1200
    assert not Path("index.building").exists()


def test_another_source_does_not_go_on(files: Path, capsys) -> None:
    killed_at("Index", "add", 2, LINE)
    vectors = np.load("vectors.npy")
    np.save("vectors.npy", vectors[::-1])
    assert main(LINE.split()) == 2
    assert "state of its files" in capsys.readouterr().err
    np.save("vectors.npy", vectors[:600])
    assert main(LINE.split()) == 2
    assert "source" in capsys.readouterr().err
    Path("index.building/build.json").write_text("{")
    assert main(LINE.split()) == 2
    assert "build.json is damaged" in capsys.readouterr().err


def test_two_builds_at_once_are_refused(files: Path, capsys, monkeypatch) -> None:
    # Both would have added the same rows.
    seen = []

    def meanwhile(*arguments, **named):
        seen.append(subprocess.run(command, capture_output=True, text=True, check=False, timeout=120))
        return original(*arguments, **named)

    command = [sys.executable, "-m", "pqstore", *LINE.split()]
    original = build_module._fill
    monkeypatch.setattr(build_module, "_fill", meanwhile)
    assert main(LINE.split()) == 0
    (other,) = seen
    assert other.returncode == 2
    assert "another process is building" in other.stderr
    assert_built_as_in_one_go("index")


def test_str_ids_and_several_files_go_on(files: Path) -> None:
    line = "build parts index --M 8 --Ks 32 --iter 2 --commit-rows 250 --ids names.txt"
    killed_at("Index", "add", 3, line)
    with pqstore.Index.open("index.building/index") as unfinished:
        assert len(unfinished) == 500
    assert main(line.split()) == 0
    with pqstore.Index.open("index") as index:
        assert list(index) == [f"photo {n}" for n in range(1200)]
        codes = index.quantizer.encode(np.load("vectors.npy"))
        np.testing.assert_array_equal(index.codes(list(index)), codes)


def test_standard_input_goes_on(files: Path, run_line) -> None:
    line = "build - index --M 8 --Ks 32 --iter 2 --commit-rows 500 --train sample.npy"
    code = KILLED
    command = [sys.executable, "-c", code, "Index", "add", "2", *line.split()]
    with Path("vectors.npy").open("rb") as stream:
        done = subprocess.run(command, stdin=stream, capture_output=True, check=False, timeout=120)
    assert done.returncode == -signal.SIGKILL
    assert run_line(f"pqstore {line} < vectors.npy") == 0
    with pqstore.Index.open("index") as index:
        np.testing.assert_array_equal(index.codes(list(index)), index.quantizer.encode(np.load("vectors.npy")))


def test_the_record_says_what_is_built(files: Path) -> None:
    killed_at("Index", "add", 1, LINE)
    record = json.loads(Path("index.building/build.json").read_text())
    assert record["source"]["rows"] == 1200
    assert record["source"]["files"][0][0] == str(files / "vectors.npy")
    assert record["settings"]["M"] == 8


def test_a_file_of_every_format_gives_the_same_index(files: Path) -> None:
    vectors = np.load("vectors.npy")
    np.savez("vectors.npz", other=vectors[:3], wanted=vectors)
    header = np.array(vectors.shape, dtype="<u4").tobytes()
    Path("vectors.fbin").write_bytes(header + vectors.astype("<f4").tobytes())
    expected = None
    for number, source in enumerate(
        ["vectors.npy", "vectors.npz:wanted", "vectors.fvecs", "vectors.fbin", "parts", "parts/*.npy"]
    ):
        assert main(["build", source, f"index{number}", *"--M 8 --Ks 32 --iter 2 --train sample.npy".split()]) == 0
        with pqstore.Index.open(f"index{number}") as index:
            codes = index.codes(list(index))
        expected = codes if expected is None else expected
        np.testing.assert_array_equal(codes, expected, err_msg=source)


@pytest.fixture
def precious(files: Path) -> Path:
    """A directory of something else, with the names that a build would remove or write to."""
    path = Path("precious")
    (path / "index").mkdir(parents=True)
    (path / "index" / "thesis.txt").write_text("years of work")
    return path


@pytest.mark.parametrize("options", [[], ["--restart"]])
def test_a_link_in_the_place_of_the_unfinished_build(precious: Path, capsys, options: list[str]) -> None:
    """`--restart` removed what the link led to."""
    Path("index.building").symlink_to(precious)
    assert main([*LINE.split(), *options]) == 2
    assert "symbolic link" in capsys.readouterr().err
    assert (precious / "index" / "thesis.txt").read_text() == "years of work"
    assert not Path("index").exists()


@pytest.mark.parametrize("options", [[], ["--restart"]])
@pytest.mark.parametrize("name", ["index", "lock", "build.json"])
def test_links_inside_an_unfinished_build(precious: Path, capsys, name: str, options: list[str]) -> None:
    Path("index.building").mkdir(mode=0o700)
    Path("index.building", name).symlink_to((precious / "index").absolute())
    status = main([*LINE.split(), *options])
    if (name, options) == ("build.json", ["--restart"]):
        assert status == 0  # the link itself is replaced
    else:
        assert status == 2
        assert "symbolic link" in capsys.readouterr().err
    assert (precious / "index" / "thesis.txt").read_text() == "years of work"


def test_the_record_is_not_written_through_a_link(precious: Path) -> None:
    Path("index.building").mkdir(mode=0o700)
    Path("index.building", "build.new").symlink_to((precious / "index" / "thesis.txt").absolute())
    assert main(LINE.split()) == 0
    assert (precious / "index" / "thesis.txt").read_text() == "years of work"


def test_an_unfinished_build_that_others_may_write_to(files: Path, capsys) -> None:
    Path("index.building").mkdir()
    Path("index.building").chmod(0o777)
    assert main(LINE.split()) == 2
    assert "chmod go-w" in capsys.readouterr().err
    Path("index.building").chmod(0o700)
    assert main(LINE.split()) == 0


@pytest.mark.skipif(os.getuid() != 0, reason="gives a directory to another user, which only root can")
def test_an_unfinished_build_of_another_user(files: Path, capsys) -> None:
    Path("index.building").mkdir(mode=0o700)
    os.chown("index.building", 65534, 65534)
    assert main(LINE.split()) == 2
    assert "belongs to another user" in capsys.readouterr().err


def test_a_build_is_its_makers_alone(files: Path) -> None:
    killed_at("Index", "add", 2, LINE)
    assert Path("index.building").stat().st_mode & 0o077 == 0


def test_a_link_to_nothing_in_the_place_of_the_index(files: Path, capsys) -> None:
    Path("index").symlink_to("nowhere")
    assert main(LINE.split()) == 2
    assert "exists already" in capsys.readouterr().err
    assert not Path("index.building").exists()
