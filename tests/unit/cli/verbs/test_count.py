"""count: rows that a filter allows."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

from pqstore.cli import main


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


def test_a_warning_is_one_line(files: Path, capsys) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        assert main(["count", "my-index", "--where", '{"lang": 5}']) == 0
    out, err = capsys.readouterr()
    assert out == "0\n"
    assert err == ("pqstore count: field 'lang' has values of kind str: comparing it with 5 (number) finds nothing\n")
