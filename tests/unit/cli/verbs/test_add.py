"""add: with payloads."""

from __future__ import annotations

import json
from pathlib import Path

import pqstore
from pqstore.cli import main


def test_add_with_payloads(files: Path) -> None:
    assert main("add my-index more.npy --ids more-ids.txt --on-conflict replace --payloads more.jsonl".split()) == 0
    payloads = [json.loads(line) for line in Path("more.jsonl").read_text().splitlines()]
    with pqstore.Index.open("my-index") as index:
        assert [record.payload for record in index.get(list(range(1180, 1230)))] == payloads
