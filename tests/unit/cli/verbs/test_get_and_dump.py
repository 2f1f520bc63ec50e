"""Records as JSON lines: by id, and all of them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import pqstore
from pqstore.cli import main


def lines(capsys) -> list[dict]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_get_shows_id_and_payload_in_the_order_asked_for(files: Path, capsys) -> None:
    assert main("get my-index 17 3 1199 10".split()) == 0
    with pqstore.Index.open("my-index") as index:
        assert lines(capsys) == [{"id": r.id, "payload": r.payload} for r in index.get([17, 3, 1199, 10])]


def test_get_with_vectors(files: Path, capsys) -> None:
    assert main("get my-index 5 --vectors".split()) == 0
    (record,) = lines(capsys)
    assert record["original"] is True
    np.testing.assert_array_equal(np.float32(record["vector"]), np.load("vectors.npy")[5])
    assert main("import exported-codes codes-only".split()) == 0
    capsys.readouterr()
    assert main("get codes-only 5 --vectors".split()) == 0
    (record,) = lines(capsys)
    assert record["original"] is False
    with pqstore.Index.open("codes-only") as index:
        np.testing.assert_array_equal(np.float32(record["vector"]), index.reconstruct(5))


def test_get_from_a_file_and_without_those_that_are_missing(files: Path, capsys) -> None:
    Path("many.txt").write_text("".join(f"{n}\n" for n in range(1195, 3200)))
    assert main("get my-index --ids many.txt".split()) == 2
    captured = capsys.readouterr()
    assert captured.out == "", "found before the first line"
    assert "2000 of 2005 ids are not in the index: 1200" in captured.err
    assert main("get my-index 0 --ids many.txt --missing ignore".split()) == 0
    assert [record["id"] for record in lines(capsys)] == [0, *range(1195, 1200)]
    assert main("get my-index".split()) == 2
    assert "--ids" in capsys.readouterr().err


def test_dump_shows_all_oldest_first(files: Path, capsys) -> None:
    assert main("remove my-index 3 500".split()) == 0
    capsys.readouterr()
    assert main("dump my-index --vectors".split()) == 0
    found = lines(capsys)
    expected = [n for n in range(1200) if n not in (3, 500)]
    assert [record["id"] for record in found] == expected
    np.testing.assert_array_equal(np.float32([record["vector"] for record in found]), np.load("vectors.npy")[expected])


@pytest.mark.parametrize("limit", [0, 1, 7, 1000, 1001, 5000])
def test_dump_with_a_filter_and_a_limit(limit: int, files: Path, capsys) -> None:
    where = {"lang": {"$in": ["de", "fr", "en"]}}
    assert main(["dump", "my-index", "--where", json.dumps(where), "--limit", str(limit)]) == 0
    with pqstore.Index.open("my-index") as index:
        page = index.scroll(where, limit=5000)
    assert lines(capsys) == [{"id": r.id, "payload": r.payload} for r in page.records[:limit]]


def test_dump_refuses_what_cannot_be_meant(files: Path, capsys) -> None:
    for line in ("dump my-index --limit -1", "dump my-index --where {", "dump nowhere"):
        assert main(line.split()) == 2
        assert len(capsys.readouterr().err.splitlines()) == 1
