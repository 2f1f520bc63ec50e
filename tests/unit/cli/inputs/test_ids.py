"""Ids in files and on the command line are never read as other ids: by each verb that takes them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pqstore
from pqstore import CorpusFileError, DuplicateIdError, InvalidIdError
from pqstore.cli import main
from pqstore.cli.inputs.ids import as_ids, read_ids, refuse_repeated
from pqstore.cli.report import Report

# What int() takes for a number, and what is none by -?(0|[1-9][0-9]*).
NO_NUMBERS = [
    "007",
    "2024_01",
    "+5",
    "\u0661\u0660",
    "\uff11\uff12",
    " 5",
    "5 ",
    "1.0",
    "1e3",
    "--5",
    "-",
    "-01",
    "0x10",
    "\u0663",
    "²",
    "5\x1c",
]
# Separators at which str.splitlines cuts, and files do not.
NO_LINE_ENDS = ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\r"]


def read(path: Path | str, id_type: str | None = None) -> list[Any]:
    ids = read_ids(str(path), id_type, Report())
    return ids if isinstance(ids, list) else ids.tolist()


@pytest.fixture
def text(tmp_path: Path) -> Callable[[str], Path]:
    def written(content: str, name: str = "ids.txt") -> Path:
        (tmp_path / name).write_bytes(content.encode())
        return tmp_path / name

    return written


def test_whole_numbers(text) -> None:
    assert read(text("0\n17\n-5\n9223372036854775807\n-9223372036854775808\n")) == [0, 17, -5, 2**63 - 1, -(2**63)]


@pytest.mark.parametrize("name", NO_NUMBERS)
def test_what_is_no_whole_number_stays_text(name: str, text) -> None:
    assert read(text(f"1\n{name}\n2")) == ["1", name, "2"]
    with pytest.raises(InvalidIdError, match="line 2: int64 ids are meant"):
        read(text(f"1\n{name}\n2"), "int64")
    with pytest.raises(InvalidIdError, match="this index has int64 ids"):
        as_ids([name], "int64")
    assert as_ids([name], "str") == [name]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("last", ["", "\n", "\n\n", "\r\n\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_ends_of_lines_empty_lines_at_the_end_and_byte_order_marks(end: str, last: str, mark: str, text) -> None:
    assert read(text(mark + end.join(["3", "5", "-1"]) + last)) == [3, 5, -1]
    assert read(text(mark + end.join(["a", "5"]) + last)) == ["a", "5"]
    assert read(text(mark + end.join(['"a"', '"b"']) + last, "ids.jsonl")) == ["a", "b"]


@pytest.mark.parametrize("separator", NO_LINE_ENDS)
def test_nothing_else_ends_a_line(separator: str, text) -> None:
    name = f"a{separator}b"
    assert read(text(f"{name}\nc\n")) == [name, "c"]
    if separator in ("\u2028", "\u2029", "\x85"):  # the others are escaped in JSON
        assert read(text(f'"{name}"\n"c"\n', "ids.jsonl")) == [name, "c"]


def test_numbers_as_text_where_that_is_meant(text) -> None:
    assert read(text("1\n007\n"), "str") == ["1", "007"]
    assert read(text("1\n2\n"), "str") == ["1", "2"]
    with pytest.raises(InvalidIdError, match=r"line 2: .*--id-type str.*beyond"):
        read(text(f"1\n{2**63}\n"))
    assert read(text(f"1\n{2**63}\n"), "str") == ["1", str(2**63)]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"1\n\n2\n", "line 2 is empty"),
        (b"1\na\xff\n", "line 2: text in UTF-8"),
        (b"PAR1....", "Parquet file: name its columns with --id-column"),
        (b"\x93NUMPY\x01", r"\.npy file"),
        (b"PK\x03\x04..", "zip"),
        ("1\n2".encode("utf-16"), "UTF-16"),
        (b"a\0b", "NUL at byte 1"),
    ],
)
def test_files_that_are_no_lines_of_ids(content: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / "ids.txt").write_bytes(content)
    with pytest.raises(CorpusFileError, match=words):
        read(tmp_path / "ids.txt")


@pytest.mark.parametrize(
    ("array", "ids"),
    [
        (np.array([5, -7], dtype=">i2"), [5, -7]),
        (np.array([5.0, -7.0]), [5, -7]),
        (np.array(["007", "1"]), ["007", "1"]),
    ],
)
def test_arrays_say_their_type_themselves(array: np.ndarray, ids: list[Any], tmp_path: Path) -> None:
    np.save(tmp_path / "ids.npy", array)
    assert read(tmp_path / "ids.npy") == ids


@pytest.mark.parametrize(
    "array", [np.array([1.5]), np.array([2.0**54]), np.array([np.nan]), np.array([True]), np.eye(2)]
)
def test_arrays_that_are_no_ids(array: np.ndarray, tmp_path: Path) -> None:
    np.save(tmp_path / "ids.npy", array)
    with pytest.raises(CorpusFileError, match="integers or strings"):
        read(tmp_path / "ids.npy")


def test_a_source_of_the_other_type_is_converted_aloud(tmp_path: Path, capsys) -> None:
    np.save(tmp_path / "numbers.npy", np.array([5, 7]))
    (tmp_path / "names.jsonl").write_text('"5"\n"7"\n')
    assert read(tmp_path / "numbers.npy", "str") == ["5", "7"]
    assert "numbers.npy holds ids that are numbers: they are taken as text, 5 as '5'" in capsys.readouterr().err
    assert read(tmp_path / "names.jsonl", "int64") == [5, 7]
    assert "they are taken as numbers, '5' as 5" in capsys.readouterr().err
    (tmp_path / "names.jsonl").write_text('"5"\n"07"\n')
    with pytest.raises(InvalidIdError, match="'07' is none"):
        read(tmp_path / "names.jsonl", "int64")


@pytest.mark.parametrize("make", [lambda n: f"a{n}", int])
def test_an_id_that_repeats_is_found_with_both_rows(make: Callable[[int], Any]) -> None:
    ids = [make(n) for n in [*range(100), 37]]

    def parts() -> Any:
        blocks = [ids[at : at + 30] for at in range(0, 101, 30)]
        return iter(blocks if isinstance(ids[0], str) else map(np.array, blocks))

    with pytest.raises(DuplicateIdError, match=rf"id {make(37)!r} is given twice, in rows 37 and 100 of x\.txt"):
        refuse_repeated(parts, "x.txt")
    ids.pop()
    refuse_repeated(parts, "x.txt")
    refuse_repeated(lambda: None, "x.txt")


# Each verb that takes ids.


def index_of(id_type: str) -> None:
    kind = f"--id-type {id_type}"
    Path("few.txt").write_text("".join(f"{n}\n" for n in range(1200)))
    assert main(f"build vectors.npy index --M 8 --Ks 16 --iter 1 --ids few.txt {kind}".split()) == 0


@pytest.mark.parametrize("word", ["1_0", "+10", "010", "\uff11\uff10", " 10"])
def test_words_of_the_command_line(word: str, files: Path, capsys) -> None:
    # `pqstore remove index 1_0` removed the id 10.
    for verb in ("remove", "get"):
        assert main([verb, "my-index", word]) == 2
        assert f"{word!r}" in capsys.readouterr().err
    with pqstore.Index.open("my-index") as index:
        assert len(index) == 1200


@pytest.mark.parametrize("name", ["a.txt", "a.jsonl"])
def test_files_of_verbs_that_have_an_index(name: str, files: Path, capsys) -> None:
    index_of("str")
    rows = ["10", "11"]
    Path(name).write_text("".join((json.dumps(row) if name.endswith("l") else row) + "\n" for row in rows))
    np.save("two.npy", np.load("vectors.npy")[:2])
    assert main(f"sets index --save mine --ids {name}".split()) == 0
    assert main(f"remove index --ids {name}".split()) == 0
    assert main(f"add index two.npy --ids {name}".split()) == 0
    capsys.readouterr()
    assert main(f"get index --ids {name}".split()) == 0
    assert [json.loads(line)["id"] for line in capsys.readouterr().out.splitlines()] == rows
    assert main("sets index --show mine --format json".split()) == 0
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == rows
    Path(name).write_text(Path(name).read_text().replace("10", "010"))
    assert main(f"remove index --ids {name}".split()) == 2, "another id"
    assert "'010'" in capsys.readouterr().err


@pytest.mark.parametrize("id_type", ["int64", "str"])
def test_build_and_import_take_the_type_that_is_meant(id_type: str, files: Path) -> None:
    index_of(id_type)
    line = f"import codes.npy imported --quantizer nanopq.pkl --ids few.txt --id-type {id_type}"
    assert main(line.split()) == 0
    assert main(f"import vectors.faiss faiss --ids few.txt --id-type {id_type}".split()) == 0
    for name in ("index", "imported", "faiss"):
        with pqstore.Index.open(name, readonly=True) as index:
            assert index.id_type == id_type
            assert list(index)[:2] == ([0, 1] if id_type == "int64" else ["0", "1"])


def test_import_refuses_a_type_without_ids(files: Path, capsys) -> None:
    assert main("import vectors.faiss other --id-type str".split()) == 2
    assert "--ids" in capsys.readouterr().err


@pytest.mark.parametrize(
    "line", ["build vectors.npy other --M 8 --ids twice.txt", "add my-index more.npy --ids two.txt"]
)
def test_ids_that_repeat_are_found_before_the_work(line: str, files: Path, monkeypatch, capsys) -> None:
    Path("twice.txt").write_text("".join(f"n{min(n, 1198)}\n" for n in range(1200)))
    Path("two.txt").write_text("".join(f"{5000 + n // 2}\n" for n in range(50)))
    monkeypatch.setattr(pqstore.PQ, "fit", None)
    assert main(line.split()) == 2
    assert "is given twice, in rows" in capsys.readouterr().err
    assert not list(Path().glob("other*"))
