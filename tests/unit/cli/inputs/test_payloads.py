"""Payload files: lines as in other text files, and a binary file is recognised."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import pqstore
from pqstore import CorpusFileError, DimensionError
from pqstore.cli import main
from pqstore.cli.inputs.payloads import check_payloads, read_payloads


@pytest.mark.parametrize(
    "content", ['{"a": 1}\nnull\n', '\ufeff{"a": 1}\r\nnull\r\n', '{"a": 1}\nnull\n\n\n', '{"a": 1}\nnull']
)
def test_marks_ends_and_empty_lines_at_the_end(content: str, tmp_path: Path) -> None:
    (tmp_path / "p").write_bytes(content.encode())
    check_payloads(str(tmp_path / "p"), 2)
    assert list(read_payloads(str(tmp_path / "p"))) == [{"a": 1}, None]
    assert list(read_payloads(str(tmp_path / "p"), skip=1)) == [None]
    with pytest.raises(DimensionError, match="holds 2 lines"):
        check_payloads(str(tmp_path / "p"), 3)


def test_separators_inside_a_line(tmp_path: Path) -> None:
    (tmp_path / "p").write_text('{"a": "x\u2028y\x85z"}\n', encoding="utf-8")
    assert list(read_payloads(str(tmp_path / "p"))) == [{"a": "x\u2028y\x85z"}]


@pytest.mark.parametrize("magic", [b"PAR1", b"ARROW1", b"\x93NUMPY", b"\x89HDF", b"\x1f\x8b", b"{}\0"])
def test_a_binary_file_is_recognised(magic: bytes, tmp_path: Path) -> None:
    (tmp_path / "p").write_bytes(magic + b"\x00\x01" * 8)
    for read in (lambda p: check_payloads(p, 1), lambda p: list(read_payloads(p))):
        with pytest.raises(CorpusFileError, match="lines of text expected"):
            read(str(tmp_path / "p"))


def test_columns_of_a_table(files: Path, capsys) -> None:
    pa = pytest.importorskip("pyarrow")
    parquet = __import__("pyarrow.parquet").parquet
    vectors = np.load("vectors.npy")[:300].tolist()
    vectors[7] = None
    table = pa.table({
        "v": vectors, "id": ["same"] * 300, "url": [f"u{n}" for n in range(300)],
        "lang": pa.array(["de", None, "fr"] * 100).dictionary_encode(), "year": list(range(300)),
    })  # fmt: skip
    parquet.write_table(table, "t.parquet")
    line = "build t.parquet:v index --M 8 --Ks 16 --iter 1 --commit-rows 70 --payload-columns lang,year"
    assert main([*line.split(), "--id-column", "url"]) == 2
    assert "--skip-nulls" in capsys.readouterr().err
    assert main([*line.split(), "--skip-nulls"]) == 2
    error = capsys.readouterr().err
    assert "'same' is given twice, in rows 0 and 1" in error
    assert "--id-column" in error
    assert main([*line.split(), "--skip-nulls", "--id-column", "url"]) == 0
    assert "1 rows without a vector are left out" in capsys.readouterr().err
    assert main("add index t.parquet --id-column none --skip-nulls --payload-columns year".split()) == 0
    with pqstore.Index.open("index") as index:
        assert index.id_type == "str"
        assert len(index) == 2 * 299
        assert index.get("u8").payload == {"lang": "fr", "year": 8}
        assert index.get("u4").payload == {"year": 4}
        assert index.count({"year": {"$gte": 200}}) == 200
        assert "u7" not in index
    assert main("add index t.parquet --payloads payloads.jsonl --payload-columns year".split()) == 2
    assert "not both" in capsys.readouterr().err


def test_a_build_with_columns_that_was_stopped_goes_on(files: Path, monkeypatch) -> None:
    pa = pytest.importorskip("pyarrow")
    parquet = __import__("pyarrow.parquet").parquet
    parquet.write_table(pa.table({"v": np.load("vectors.npy").tolist(), "year": list(range(1200))}), "t.parquet")
    line = "build t.parquet index --M 8 --Ks 16 --iter 1 --commit-rows 350 --payload-columns year".split()
    original, turns = pqstore.Index.add, []

    def interrupted(*arguments, **named):
        turns.append(1)
        if len(turns) == 3:
            raise KeyboardInterrupt
        return original(*arguments, **named)

    with monkeypatch.context() as patch:
        patch.setattr(pqstore.Index, "add", interrupted)
        assert main(line) == 130
    assert main(line) == 0
    with pqstore.Index.open("index") as index:
        assert [record.payload for record in index.get(range(1200))] == [{"year": n} for n in range(1200)]
