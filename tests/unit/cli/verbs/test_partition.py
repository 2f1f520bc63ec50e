"""partition: lists are made, made anew and dropped; searches read as much of them as is said."""

from __future__ import annotations

from pathlib import Path

import pqstore
from pqstore.cli import main


def test_lists_come_and_go(files: Path, capsys) -> None:
    assert main("partition my-index".split()) == 0
    assert "0 rows in 150 lists of 0 in the mean" in capsys.readouterr().out  # all rows are in the tail yet
    assert main("partition my-index --partitions 16 --sample 200 --threads 1".split()) == 0
    with pqstore.Index.open("my-index") as index:
        assert index.stats().lists.partitions == 16
    assert main("info my-index".split()) == 0
    assert "partitions 16, runs 0" in capsys.readouterr().out
    for how in ("--nprobe 3", "--nprobe all", "--scan 100"):
        assert main(f"search my-index queries.npy --format json {how}".split()) == 0
        assert len(capsys.readouterr().out.splitlines()) == 20
    assert main("partition my-index --partitions none".split()) == 0
    assert "no lists" in capsys.readouterr().out
    assert main("search my-index queries.npy --nprobe 3".split()) == 2
    assert "this index has none: call partition()" in capsys.readouterr().err


def test_a_build_with_lists(files: Path, capsys) -> None:
    assert main("build vectors.npy listed --M 8 --Ks 16 --iter 2 --partitions 8".split()) == 0
    assert "in 8 lists" in capsys.readouterr().out
    with pqstore.Index.open("listed") as index:
        assert index.stats().lists.partitions == 8


def test_bad_input(files: Path, capsys) -> None:
    for line, told in (
        ("partition my-index --partitions many", "a whole number, auto or none expected, got 'many'"),
        ("partition my-index --partitions 0", "partitions must be at least 1, got 0"),
        ("partition my-index --partitions 1201", "1,201 partitions need at least as many vectors"),
        ("search my-index queries.npy --nprobe some", "a whole number, or all expected, got 'some'"),
    ):
        assert main(line.split()) == 2
        assert told in capsys.readouterr().err
