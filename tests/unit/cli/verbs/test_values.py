"""`pqstore values`, and the options of `pqstore search` that look at values."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import pqstore
from pqstore.cli.main import main


def test_values_and_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    with pqstore.Index.create("index", dim=4, fields=["lang"]) as index:
        index.add(np.eye(4), payloads=[{"lang": "de"}, {"lang": "de"}, {"lang": "en"}, {"lang": "da"}])
    np.save("queries.npy", np.eye(4, dtype=np.float32)[:1])
    assert main("values index lang --prefix d".split()) == 0
    shown = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert shown == [{"value": "da", "vectors": 1}, {"value": "de", "vectors": 2}]
    assert main("values index lang --limit 1".split()) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out) == shown[0]
    assert "more than 1 values" in captured.err
    assert main("search index queries.npy -k 3 --group-by lang --format json".split()) == 0
    assert json.loads(capsys.readouterr().out)["ids"] == [0, 2, 3]
    assert main("search index queries.npy -k 2 --mmr 1 --format json".split()) == 0
    assert json.loads(capsys.readouterr().out)["ids"] == [0, 1]
    assert main("search index queries.npy --group-by lang --truth queries.npy".split()) == 2
