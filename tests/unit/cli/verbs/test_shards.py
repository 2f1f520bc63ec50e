"""shards: each step by itself, as a batch queue runs them; and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

import pqstore
from pqstore.cli import main


def test_steps_one_after_another_answer_as_one_index(files: Path, capsys) -> None:
    assert main("shards plan vectors.npy plan.json --rows 300".split()) == 0
    assert "1,200 rows of 1 files in 4 shards of 300 to 300; ids are numbers of rows" in capsys.readouterr().out
    assert main("shards train plan.json new --M 8 --Ks 32 --originals float32".split()) == 0
    assert main("shards commit new".split()) == 2
    assert "4 of 4 shards are not built yet (0, 1, 2, 3)" in capsys.readouterr().err
    assert main("shards build new --shard 2 --shard 0".split()) == 0
    assert main("shards info new --format json".split()) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["missing"] == [1, 3]
    assert main("shards build new --threads 1".split()) == 0
    assert main("shards build new".split()) == 0
    assert capsys.readouterr().out.endswith("all shards are built\n")
    assert main("shards commit new".split()) == 0
    capsys.readouterr()
    assert main("shards search new queries.npy -k 5 --rerank 50 --format json".split()) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    with pqstore.Index.create("one", pqstore.PQ.load(next(Path("new").glob("*.npz"))), originals="float32") as one:
        one.add(np.load("vectors.npy"))
        expected = one.search(np.load("queries.npy"), k=5, rerank=50)
    assert [line["ids"] for line in lines] == expected.ids.tolist()
    assert main("shards search new queries.npy -k 5 --out found.npz".split()) == 0
    assert np.load("found.npz")["ids"].shape == (20, 5)
    assert main("shards info new".split()) == 0
    assert "vectors" in capsys.readouterr().out


def test_what_is_wrong_is_said_in_one_line(files: Path, capsys) -> None:
    for line, word in {
        "shards plan missing.npy plan.json": "there is no file",
        "shards train vectors.npy new": "no sound plan of shards",
        "shards build nothing": "no collection",
        "shards build begun-collection --shard 9": "shards 0 to 2, got 9",
        "shards search begun-collection queries.npy": "not committed yet",
        "shards search my-collection queries.npy --rerank 3": "rerank must be at least k",
        "shards verify nothing": "not committed yet",
        "shards info nothing": "no collection",
        "shards": "STEP",
    }.items():
        assert main(line.split()) == 2, line
        said = capsys.readouterr().err
        assert word in said
        assert said.count("\n") == 1


def test_problems_are_found(files: Path, capsys) -> None:
    shard = next(path for path in sorted(Path("my-collection").glob("shard-00001-*")) if path.is_dir())
    with pqstore.Index.open(shard) as index:
        index.add(np.load("vectors.npy")[:1], ids=[0])
    assert main("shards verify my-collection".split()) == 0
    assert main("shards verify my-collection --deep".split()) == 1
    assert "shard 1: invariant 101, id 0: it lies in shards 0 and 1" in capsys.readouterr().out
