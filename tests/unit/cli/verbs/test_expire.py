"""`pqstore expire`: by which field, and what has gone."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import pytest

import pqstore
from pqstore.cli.main import main


def test_declared_expired_and_taken_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    past = datetime(2001, 1, 1, tzinfo=timezone.utc)
    assert main("create index --dim 4".split()) == 0
    with pqstore.Index.open("index") as index:
        index.add(np.ones((3, 4)), payloads=[{"until": past}, {"until": past}, None])
    outputs = []
    for words in ("", "--by until", "", "--never"):
        assert main(["expire", "index", *words.split()]) == 0
        outputs.append(capsys.readouterr().out.strip().splitlines()[-1])
    assert outputs == [
        "vectors of this index do not expire",
        "2 expired vectors removed",
        "0 expired vectors removed",
        "vectors of this index do not expire",
    ]
    assert main("create other --dim 4 --expiry until".split()) == 0
    with pqstore.Index.open("other") as index:
        assert (index.expiry, index.fields) == ("until", ("until",))
    assert main("expire index --by until --never".split()) == 2
