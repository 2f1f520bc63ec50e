"""Records by id, as JSON lines."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

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
