"""All records, or those that a filter finds, as JSON lines."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import pqstore
from pqstore.cli import main


def lines(capsys) -> list[dict]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_dump_shows_all_in_the_order_of_ids(files: Path, capsys) -> None:
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
