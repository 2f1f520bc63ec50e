"""search: filters, payloads, exact distances; it does what is shown and no more, and lines come as they are found."""

from __future__ import annotations

import datetime
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pqstore
from pqstore.cli import main
from pqstore.cli.verbs import search as search_module
from pqstore.index import SnapshotView
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


@pytest.fixture
def searched(files: Path, monkeypatch) -> list[int]:
    """How many queries each search had."""
    counts: list[int] = []
    original = SnapshotView.search

    def counting(self: Any, queries: Any, *arguments: Any, **named: Any) -> Any:
        counts.append(len(queries))
        return original(self, queries, *arguments, **named)

    monkeypatch.setattr(SnapshotView, "search", counting)
    return counts


def as_hdf5(name: str, **parts: np.ndarray) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(name, "w") as file:
        for part, array in parts.items():
            file[part] = array


def test_queries_of_an_hdf5_file_are_its_test(searched: list[int], capsys) -> None:
    # `train`, a million of them, was searched to print ten.
    as_hdf5("a.hdf5", train=np.load("vectors.npy"), test=np.load("queries.npy"), neighbors=np.load("neighbors.npy"))
    assert main("search my-index queries.npy --format json".split()) == 0
    expected = capsys.readouterr()
    assert main("search my-index a.hdf5 --format json".split()) == 0
    assert capsys.readouterr() == expected
    assert main("search my-index a.hdf5 --truth a.hdf5".split()) == 0
    found = [line for line in capsys.readouterr().out.splitlines() if line.startswith("recall")]
    assert main("search my-index queries.npy --truth neighbors.npy".split()) == 0
    assert [line for line in capsys.readouterr().out.splitlines() if line.startswith("recall")] == found


@pytest.mark.parametrize("verb", ["search my-index", "calibrate my-index", "bench my-index --seconds 0.001 --queries"])
def test_that_there_is_no_test_is_told_by_each_verb_with_queries(verb: str, files: Path, capsys) -> None:
    as_hdf5("a.hdf5", train=np.load("queries.npy"))
    assert main([*verb.split(), "a.hdf5"]) == 0
    assert "a.hdf5: there is no 'test', 'train' is read" in capsys.readouterr().err
    as_hdf5("a.hdf5", train=np.load("vectors.npy")[:5, :3], test=np.load("queries.npy"))
    assert main([*verb.split(), "a.hdf5"]) == 0
    assert "there is no" not in capsys.readouterr().err


def test_the_table_searches_what_it_shows(searched: list[int], capsys) -> None:
    assert main("search my-index vectors.npy -k 2".split()) == 0
    captured = capsys.readouterr()
    assert searched == [10]
    assert len(captured.out.splitlines()) == 21
    assert "1,190 queries more" in captured.err


def test_lines_come_while_it_searches(searched: list[int], monkeypatch, capsys) -> None:
    monkeypatch.setattr(search_module, "_BATCH", 7)
    seen: list[int] = []
    original = SnapshotView.search

    def looking(self: Any, *arguments: Any, **named: Any) -> Any:
        seen.append(len(capsys.readouterr().out.splitlines()))
        return original(self, *arguments, **named)

    monkeypatch.setattr(SnapshotView, "search", looking)
    assert main("search my-index queries.npy -k 3 --format json".split()) == 0
    assert seen == [0, 7, 7]
    assert searched == [7, 7, 6]


@pytest.mark.parametrize("batch", [1, 7, 20, 1000])
@pytest.mark.parametrize("name", ["found.npz", "found.npy", "found.jsonl"])
def test_results_do_not_depend_on_the_batch(batch: int, name: str, files: Path, monkeypatch) -> None:
    monkeypatch.setattr(search_module, "_BATCH", batch)
    assert main(f"search my-index queries.npy -k 5 --out {name}".split()) == 0
    with pqstore.Index.open("my-index") as index:
        ids, distances = index.search(np.load("queries.npy"), k=5)
    if name == "found.npz":
        with np.load(name) as found:
            np.testing.assert_array_equal(found["ids"], ids)
            np.testing.assert_array_equal(found["distances"], distances)
    elif name == "found.npy":
        np.testing.assert_array_equal(np.load(name), ids)
    else:
        hits = [json.loads(line) for line in Path(name).read_text().splitlines()]
        assert [hit["query"] for hit in hits] == list(range(20))
        assert [hit["ids"] for hit in hits] == ids.tolist()


def test_a_failure_leaves_no_file(files: Path, monkeypatch) -> None:
    monkeypatch.setattr(search_module, "_BATCH", 7)
    queries = np.load("queries.npy")
    queries[15, 2] = np.nan
    np.save("bad.npy", queries)
    for name in ("found.npz", "found.jsonl"):
        assert main(f"search my-index bad.npy --out {name}".split()) == 2
        assert not list(Path().glob("*found*"))


def test_a_name_that_cannot_be_written_is_told_before_the_search(searched: list[int]) -> None:
    assert main("search my-index queries.npy --out found.csv".split()) == 2
    assert searched == []


def test_a_reader_that_goes_away_stops_it(files: Path) -> None:
    np.save("many.npy", np.tile(np.load("vectors.npy"), (40, 1)))
    command = f"{sys.executable} -m pqstore search my-index many.npy -k 100 --format json | head -n 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert json.loads(done.stdout)["query"] == 0
    assert done.stderr == ""


@pytest.mark.parametrize("name", ["one.npy", "one.npz", "-"])
def test_one_query_is_a_single_vector(name: str, files: Path, run_line, capsys) -> None:
    query = np.load("queries.npy")[4]
    np.save("one.npy", query)
    np.savez("one.npz", q=query)
    line = f"pqstore search my-index {name} -k 4 --format json" + (" < one.npy" if name == "-" else "")
    assert run_line(line) == 0
    (hit,) = [json.loads(row) for row in capsys.readouterr().out.splitlines()]
    with pqstore.Index.open("my-index") as index:
        assert hit["ids"] == index.search(query, k=4).ids.tolist()
        before = len(index)
    if name != "-":
        assert main(f"add my-index {name}".split()) == 0
        with pqstore.Index.open("my-index") as index:
            assert len(index) == before + 1


def test_no_queries(files: Path, capsys) -> None:
    np.save("none.npy", np.empty((0, 32), dtype=np.float32))
    assert main("search my-index none.npy".split()) == 0
    assert capsys.readouterr().out.split() == ["query", "rank", "id", "distance"]
    assert main("search my-index none.npy --format json".split()) == 0
    assert capsys.readouterr().out == ""
    assert main("search my-index none.npy --out found.npz".split()) == 0
    with np.load("found.npz") as found:
        assert found["ids"].shape == (0, 10)
