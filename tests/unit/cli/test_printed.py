"""What others wrote reaches the terminal as text, never as commands or as lines of our own."""

from __future__ import annotations

import datetime
import json
import os
import subprocess
import sys
import unicodedata
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pqstore
from pqstore.cli import main
from pqstore.cli.json_text import as_plain, json_text
from pqstore.cli.main import make_parser
from pqstore.cli.printed import printable

EVIL = "\x1b[2J\x1b]0;owned\x07\nverified: sound\r\x9b31m\u202egnp.exe\u2028\x7f\u200b\x00!"


@pytest.mark.parametrize(
    "text",
    [
        "plain",
        "é ü 日本 🎉",
        "a\\b",
        "👩\u200d👩\u200d👧",
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
        "\xa0\u3000",
    ],
)
def test_text_stays_text(text: str) -> None:
    assert printable(text) == text
    assert json.loads(json_text(text)) == text
    assert text in json_text([text]).replace("\\\\", "\\")


def test_what_a_terminal_obeys_is_escaped() -> None:
    for number in [*range(0x3000), *range(0xD800, 0xE000), *range(0xFE00, 0x10000), *range(0xE0000, 0xE0100)]:
        letter = chr(number)
        if unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp") or unicodedata.bidirectional(letter) in (
            "LRE", "RLE", "PDF", "LRO", "RLO", "LRI", "RLI", "FSI", "PDI"
        ):  # fmt: skip
            assert letter not in printable(f"a{letter}b")
            assert letter not in json_text(f"a{letter}b")
            assert json.loads(json_text(f"a{letter}b")) == f"a{letter}b"
    assert printable("\x1b[0m\n\u202e") == r"\x1b[0m\n\u202e"


def test_json_is_sound_whatever_a_payload_holds() -> None:
    value = {
        "nan": [float("nan"), float("inf"), -float("inf"), 1.5],
        b"key": b"\xff\x00",
        3: {None: True, 1.5: (1, 2)},
        "when": datetime.datetime(2024, 1, 2, tzinfo=datetime.timezone.utc),
    }
    line = json_text(value)
    assert json.loads(line, parse_constant=pytest.fail) == {
        "nan": [None, None, None, 1.5],
        "a2V5": "/wA=",
        "3": {"null": True, "1.5": [1, 2]},
        "when": "2024-01-02T00:00:00+00:00",
    }
    assert as_plain({1: "a", "1": "b", b"x": 3}) == {"1": "a", "1 (str)": "b", "eA==": 3}
    deep: Any = 1
    for _ in range(254):  # msgpack takes 511 levels
        deep = {"a": [deep]}
    assert json_text(deep).count("[") == 254


@pytest.fixture
def hostile(files: Path) -> Path:
    """An index, in a directory of such a name, with such ids, payloads, fields and sets."""
    path = Path(EVIL.replace("\x00", "").replace("/", ""))
    vectors = np.load("vectors.npy")[:40]
    with (
        pqstore.Index.open("my-index") as given,
        pqstore.Index.create(path, given.quantizer, id_type="str", originals="float32", fields=[EVIL]) as index,
    ):
        index.add(vectors, [f"{EVIL}{n}" for n in range(40)], payloads=[{EVIL: EVIL, "n": n} for n in range(40)])
        index.save_set(EVIL, [f"{EVIL}1"])
    return path


def lines_of(index: Path) -> list[list[str]]:
    """A command line of each verb that prints."""
    name = str(index)
    Path(f"{name}.npy").write_bytes(Path("queries.npy").read_bytes())
    return [
        ["search", name, "queries.npy", "--payloads", "-k", "2"],
        ["search", name, "queries.npy", "--payloads", "--format", "json"],
        ["search", name, f"{name}.npy", "--out", f"{name}.jsonl"],
        ["search", name, f"{name}.missing"],
        ["search", name, "queries.npy", "--allow", f"{EVIL}?"],
        ["get", name, f"{EVIL}3", "--vectors"],
        ["get", name, f"{EVIL}?"],
        ["dump", name],
        ["count", name, "--where", json.dumps({EVIL: 1})],
        ["count", name, "--where", json.dumps({"$" + EVIL: 1})],
        ["values", name, EVIL],
        ["values", name, f"${EVIL}"],
        ["values", name, "t", "--prefix", EVIL],
        ["search", name, "queries.npy", "--group-by", EVIL],
        ["expire", name],
        ["expire", name, "--by", f"${EVIL}"],
        ["expire", f"{name}.copy", "--by", EVIL],
        ["sets", name],
        ["sets", name, "--show", EVIL],
        ["sets", name, "--show", EVIL, "--format", "json"],
        ["sets", name, "--drop", EVIL],
        ["remove", name, f"{EVIL}?"],
        ["info", name],
        ["info", name, "--format", "json"],
        ["verify", name],
        ["verify", f"{name}?"],
        ["compact", name],
        ["create", f"{name}.new", "--dim", "4"],
        ["train", f"{name}.new"],
        ["train", f"{name}.built"],
        ["retrain", f"{name}.built"],
        ["partition", f"{name}.built", "--partitions", "2"],
        ["backup", name, f"{name}.copy"],
        ["repair", name, f"{name}.mended"],
        ["export", name, f"{name}.faiss", "--to", "faiss"],
        ["export", name, f"{name}.codes", "--to", "npy"],
        ["import", f"{name}.codes", f"{name}.back"],
        ["import", f"{name}.npy", f"{name}.other"],
        ["build", f"{name}.npy", f"{name}.built", "--M", "8", "--Ks", "4", "--iter", "1"],
        ["add", f"{name}.built", f"{name}.npy"],
        ["recall", name, "vectors.npy", "--sample", "200", "--queries", "queries.npy"],
        ["shards", "plan", f"{name}.npy", f"{name}.plan", "--rows", "20"],
        ["shards", "train", f"{name}.plan", f"{name}.shards", "--M", "8", "--Ks", "4"],
        ["shards", "build", f"{name}.shards"],
        ["shards", "commit", f"{name}.shards"],
        ["shards", "info", f"{name}.shards"],
        ["shards", "verify", f"{name}.shards"],
        ["shards", "search", f"{name}.shards", "queries.npy", "-k", "2"],
        ["shards", "fetch", f"{name}.shards", f"{name}.fetched"],
        ["shards", "info", f"{name}.nowhere"],
        ["bench", name, "--seconds", "0.001"],
        ["bench", "my-index", EVIL],
        [EVIL],
        ["search", "my-index", "queries.npy", "--format", EVIL],
    ]


@pytest.mark.filterwarnings("default::pqstore.FilterKindWarning")  # shown, as by the command itself
def test_no_verb_prints_it_raw(hostile: Path, capfd) -> None:
    said = 0
    for line in lines_of(hostile):
        main(line)
        captured = capfd.readouterr()
        for text in (captured.out, captured.err):
            for shown in text.split("\n"):
                assert shown == printable(shown), line
                assert not shown.startswith("verified: sound"), line
                said += "owned" in shown
    assert said > 20
    assert {line[0] for line in lines_of(hostile) if line[0] != EVIL} >= verbs() - {"calibrate", "completion"}


def verbs() -> set[str]:
    return set(next(action.choices for action in make_parser()._actions if action.choices))


@pytest.mark.filterwarnings("default")
def test_a_warning_is_one_line(files: Path, monkeypatch, capfd) -> None:
    def warn(*arguments: Any, **named: Any) -> int:
        warnings.warn(f"{EVIL} compares nothing", UserWarning, stacklevel=2)
        return 0

    monkeypatch.setattr(pqstore.Index, "count", warn)
    assert main(["count", "my-index"]) == 0
    (line,) = capfd.readouterr().err.splitlines()
    assert line == printable(line)
    assert line.startswith("pqstore count: ")
    assert line.endswith("compares nothing")


def test_what_was_stored_comes_back_from_a_dump(hostile: Path, capfd) -> None:
    assert main(["dump", str(hostile)]) == 0
    for line in capfd.readouterr().out.splitlines():
        record = json.loads(line)
        assert record["payload"][EVIL] == EVIL
        assert record["id"].startswith(EVIL)


# A process is started for each encoding, not for each command: most of the time goes into starting.
ONE_BY_ONE = """
import contextlib, io, json, sys
from pqstore.cli import main
for line in json.loads(sys.argv[1]):
    output = io.TextIOWrapper(io.BytesIO(), encoding=sys.stdout.encoding)
    with contextlib.redirect_stdout(output):
        status = main(line)
    output.flush()
    sys.stdout.buffer.write(str(status).encode() + output.buffer.getvalue() + b"<end>")
"""


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "latin-1", "utf-8", "utf-16"])
def test_every_encoding_of_standard_output(encoding: str, hostile: Path) -> None:
    # "'charmap' codec can't encode" was all that a terminal of Windows saw.
    name = str(hostile)
    payload = {"text": "日本 é 🎉", "nan": float("nan")}
    with pqstore.Index.open(hostile) as index:
        index.add(np.load("vectors.npy")[50:51], ["日本 🎉"], payloads=[payload])
    lines = [
        ["get", name, "日本 🎉"],
        ["search", name, "queries.npy", "-k", "41", "--payloads"],
        ["search", name, "queries.npy", "-k", "41", "--payloads", "--format", "json"],
        ["dump", name],
        ["sets", name],
        ["info", name],
        ["get", name, "日本?"],
    ]
    done = subprocess.run(
        [sys.executable, "-c", ONE_BY_ONE, json.dumps(lines)],
        env={**os.environ, "PYTHONIOENCODING": encoding},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr.decode(encoding)
    *printed, after_all = done.stdout.split(b"<end>")
    assert after_all == b""
    for line, output in zip(lines, printed, strict=True):
        status, text = output[:1], output[1:].decode(encoding)
        assert status == (b"2" if line[-1] == "日本?" else b"0"), (line, done.stderr)
        if line[0] in ("get", "dump") or line[-1] == "json":
            for row in text.splitlines():
                json.loads(row, parse_constant=pytest.fail)
        if line[0] == "get" and text:
            assert json.loads(text)["payload"] == {"text": "日本 é 🎉", "nan": None}


def test_payloads_are_not_dropped_silently(files: Path, capsys) -> None:
    for name in ("x.npz", "x.npy"):
        assert main(f"search my-index queries.npy --payloads --out {name}".split()) == 2
        assert ".jsonl" in capsys.readouterr().err
        assert not Path(name).exists()
    assert main("search my-index queries.npy --payloads --out x.jsonl".split()) == 0
    assert "payloads" in json.loads(Path("x.jsonl").read_text().splitlines()[0])
