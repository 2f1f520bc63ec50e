"""remove: by a filter."""

from __future__ import annotations

import json
from pathlib import Path

import pqstore
from pqstore.cli import main


def test_remove_by_filter(files: Path, capsys) -> None:
    payloads = [json.loads(line) for line in Path("payloads.jsonl").read_text().splitlines()]
    gone = [n for n, payload in enumerate(payloads) if payload and payload["year"] < 2000]
    assert main(["remove", "my-index", "--where", '{"year": {"$lt": 2000}}']) == 0
    assert f"removed {len(gone)} vectors" in capsys.readouterr().out
    with pqstore.Index.open("my-index") as index:
        assert sorted(set(range(1200)) - set(index)) == gone
