"""search: filters, payloads, exact distances."""

from __future__ import annotations

import datetime
import json
from pathlib import Path

import numpy as np

import pqstore
from pqstore.cli import main
from tests.unit.cli.printed import printed_lines

FILTER = '{"lang": "de", "year": {"$gte": 2000}}'


def test_search_with_a_filter_and_payloads(files: Path, capsys) -> None:
    assert main(["search", "my-index", "queries.npy", "--where", FILTER, "--payloads", "--format", "json"]) == 0
    lines = printed_lines(capsys)
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
    assert all(line["ids"] == [] == line["payloads"] for line in printed_lines(capsys))
    assert main(line[:-2]) == 0
    assert capsys.readouterr().out.split() == ["query", "rank", "id", "distance", "payload"]


def test_payloads_that_json_lacks(files: Path, capsys) -> None:
    when = datetime.datetime(2024, 5, 1, 12, tzinfo=datetime.timezone.utc)
    with pqstore.Index.open("my-index") as index:
        index.update_payload([0, 1, 2], {"when": when, "raw": b"\x00\xff"})
    line = ["search", "my-index", "queries.npy", "--where", '{"when": {"$exists": true}}', "--payloads"]
    assert main([*line, "--format", "json"]) == 0
    for found in printed_lines(capsys):
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
