"""count: rows that a filter allows."""

from __future__ import annotations

import json
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
