"""build: originals, payloads and fields are kept, also when it is killed and goes on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

import pqstore
from pqstore.cli import main
from tests.unit.cli.killed import killed_at


def test_build_keeps_originals_payloads_and_fields(files: Path) -> None:
    line = "build vectors.npy index --M 8 --Ks 32 --iter 2 --originals float32 --payloads payloads.jsonl"
    assert main([*line.split(), "--fields", "lang,year"]) == 0
    payloads = [json.loads(line) for line in Path("payloads.jsonl").read_text().splitlines()]
    with pqstore.Index.open("index") as index:
        assert index.originals == "float32"
        assert sorted(index.fields) == ["lang", "year"]
        records = index.get(list(range(1200)))
        assert [record.payload for record in records] == payloads
        np.testing.assert_array_equal([record.vector for record in records], np.load("vectors.npy"))


def test_a_killed_build_goes_on_with_payloads(files: Path) -> None:
    line = "build vectors.npy index --M 8 --Ks 32 --iter 2 --commit-rows 350 --originals int8 --payloads payloads.jsonl"
    killed_at("Index", "add", 3, line)
    assert main(line.split()) == 0
    payloads = [json.loads(line) for line in Path("payloads.jsonl").read_text().splitlines()]
    with pqstore.Index.open("index") as index:
        assert [record.payload for record in index.get(list(range(1200)))] == payloads
        assert index.verify(deep=True) == []


def test_other_payloads_do_not_go_on(files: Path, capsys) -> None:
    line = "build vectors.npy index --M 8 --Ks 32 --iter 2 --commit-rows 350 --payloads payloads.jsonl"
    killed_at("Index", "add", 2, line)
    Path("payloads.jsonl").write_text('{"other": 1}\n' * 1200)
    assert main(line.split()) == 2
    assert "payloads" in capsys.readouterr().err
