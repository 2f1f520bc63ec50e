"""Originals, payloads, filters and re-ranking from the command line."""

from __future__ import annotations

import datetime
import json
from pathlib import Path

import numpy as np
import pytest

import pqstore
from pqstore.cli import main
from tests.unit.cli.conftest import D
from tests.unit.cli.test_build import killed_at

FILTER = '{"lang": "de", "year": {"$gte": 2000}}'


def found_lines(capsys) -> list[dict]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


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


def test_search_with_a_filter_and_payloads(files: Path, capsys) -> None:
    assert main(["search", "my-index", "queries.npy", "--where", FILTER, "--payloads", "--format", "json"]) == 0
    lines = found_lines(capsys)
    with pqstore.Index.open("my-index") as index:
        expected = index.search(np.load("queries.npy"), where=json.loads(FILTER), include=("payload",))
    assert [line["ids"] for line in lines] == expected.ids.tolist()
    assert [line["payloads"] for line in lines] == expected.payloads
    assert all(p["lang"] == "de" and p["year"] >= 2000 for line in lines for p in line["payloads"])
    assert main(["search", "my-index", "queries.npy", "-k", "2", "--where", FILTER, "--payloads"]) == 0
    header, first, *_ = capsys.readouterr().out.splitlines()
    assert header.split() == ["query", "rank", "id", "distance", "payload"]
    assert '"lang": "de"' in first


def test_a_filter_that_allows_nothing_is_no_error(files: Path, capsys) -> None:
    line = ["search", "my-index", "queries.npy", "--where", '{"lang": "it"}', "--payloads", "--format", "json"]
    assert main(line) == 0
    assert all(line["ids"] == [] == line["payloads"] for line in found_lines(capsys))
    assert main(line[:-2]) == 0
    assert capsys.readouterr().out.split() == ["query", "rank", "id", "distance", "payload"]


def test_payloads_that_json_lacks(files: Path, capsys) -> None:
    when = datetime.datetime(2024, 5, 1, 12, tzinfo=datetime.timezone.utc)
    with pqstore.Index.open("my-index") as index:
        index.update_payload([0, 1, 2], {"when": when, "raw": b"\x00\xff"})
    line = ["search", "my-index", "queries.npy", "--where", '{"when": {"$exists": true}}', "--payloads"]
    assert main([*line, "--format", "json"]) == 0
    for found in found_lines(capsys):
        assert {p["when"] for p in found["payloads"]} == {"2024-05-01T12:00:00+00:00"}
        assert {p["raw"] for p in found["payloads"]} == {"AP8="}
    assert main(line) == 0
    assert "AP8=" in capsys.readouterr().out


def test_rerank_gives_exact_distances(files: Path, capsys) -> None:
    assert main("search my-index queries.npy -k 5 --rerank 1200 --out found.npz".split()) == 0
    vectors, queries = np.load("vectors.npy").astype(float), np.load("queries.npy").astype(float)
    exact = np.sort(((vectors[None] - queries[:, None]) ** 2).sum(axis=2), axis=1)[:, :5]
    with np.load("found.npz") as found:
        np.testing.assert_allclose(found["distances"], exact, rtol=1e-5)
    assert main("search my-index queries.npy --rerank 1200 --truth neighbors.npy".split()) == 0
    recall = [float(line.split()[1]) for line in capsys.readouterr().out.splitlines() if line.startswith("recall")]
    assert recall[1] > 0.99


def test_rerank_auto_takes_what_was_calibrated(files: Path, capsys) -> None:
    assert main("search my-index queries.npy --rerank auto".split()) == 2
    assert "calibrate" in capsys.readouterr().err
    assert main("calibrate my-index queries.npy --recall 0.9 -k 5".split()) == 0
    told = capsys.readouterr().out.split()
    with pqstore.Index.open("my-index") as index:
        found = index.search(np.load("queries.npy"), k=5, rerank="auto", explain=True)
        assert told[:2] == ["rerank", str(found.plan.rerank)]
        assert float(told[3]) >= 0.9
    assert main("search my-index queries.npy -k 5 --rerank auto --format json".split()) == 0
    assert [line["ids"] for line in found_lines(capsys)] == found.ids.tolist()


def test_count(files: Path, capsys) -> None:
    payloads = [json.loads(line) for line in Path("payloads.jsonl").read_text().splitlines()]
    german = sum(payload is not None and payload["lang"] == "de" for payload in payloads)
    for words, expected in (
        ([], 1200),
        (["--where", '{"lang": "de"}'], german),
        (["--allow", "mine"], 3),
        (["--deny", "mine"], 1197),
        (["--allow", "mine", "--where", '{"lang": "en"}'], 1),
    ):
        assert main(["count", "my-index", *words]) == 0
        assert capsys.readouterr().out == f"{expected}\n"


def test_sets(files: Path, capsys) -> None:
    assert main("sets my-index --show mine".split()) == 0
    assert capsys.readouterr().out.split() == ["3", "17", "600", "99999"]
    assert main("search my-index queries.npy -k 4 --allow mine --format json".split()) == 0
    assert {tuple(sorted(line["ids"])) for line in found_lines(capsys)} == {(3, 17, 600)}
    assert main("search my-index queries.npy -k 1200 --deny mine --format json".split()) == 0
    assert all(len(set(line["ids"]) - {3, 17, 600}) == 1197 for line in found_lines(capsys))
    assert main("sets my-index --save other --ids gone.txt".split()) == 0
    assert "saved 3 ids" in capsys.readouterr().out
    assert main("sets my-index".split()) == 0
    assert [line.split() for line in capsys.readouterr().out.splitlines()[-2:]] == [["mine", "4"], ["other", "3"]]
    assert main("sets my-index --drop mine".split()) == 0
    assert main("search my-index queries.npy --allow mine".split()) == 2
    assert "'mine' (sets: 'other')" in capsys.readouterr().err


def test_recall_with_rerank(files: Path, capsys) -> None:
    line = "recall my-index vectors.npy --queries queries.npy --rerank 20,300 --sample 1000 --format json"
    assert main(line.split()) == 0
    plain, some, many = found_lines(capsys)
    assert [trial["rerank"] for trial in (plain, some, many)] == [None, 20, 300]
    assert plain["recall"]["10"] < some["recall"]["10"] < many["recall"]["10"]
    assert many["recall"]["10"] > 0.97
    assert "100" not in some["recall"], "twenty candidates cannot hold the hundred nearest"
    assert some["bytes"] == plain["bytes"] + 2 * D


def test_remove_by_filter(files: Path, capsys) -> None:
    payloads = [json.loads(line) for line in Path("payloads.jsonl").read_text().splitlines()]
    gone = [n for n, payload in enumerate(payloads) if payload and payload["year"] < 2000]
    assert main(["remove", "my-index", "--where", '{"year": {"$lt": 2000}}']) == 0
    assert f"removed {len(gone)} vectors" in capsys.readouterr().out
    with pqstore.Index.open("my-index") as index:
        assert sorted(set(range(1200)) - set(index)) == gone


def test_add_with_payloads(files: Path) -> None:
    assert main("add my-index more.npy --ids more-ids.txt --on-conflict replace --payloads more.jsonl".split()) == 0
    payloads = [json.loads(line) for line in Path("more.jsonl").read_text().splitlines()]
    with pqstore.Index.open("my-index") as index:
        assert [record.payload for record in index.get(list(range(1180, 1230)))] == payloads


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
