"""calibrate: searches take what it found."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import pqstore
from pqstore.cli import main
from tests.unit.cli.printed import printed_lines


def test_rerank_auto_takes_what_was_calibrated(files: Path, capsys) -> None:
    assert main("search my-index queries.npy --rerank auto".split()) == 2
    assert "calibrate" in capsys.readouterr().err
    assert main("calibrate my-index queries.npy --recall 0.9 -k 5".split()) == 0
    told = capsys.readouterr().out.split()
    with pqstore.Index.open("my-index") as index:
        found = index.search(np.load("queries.npy"), k=5, rerank="auto", explain=True)
        assert told[:2] == ["rerank", str(found.plan.rerank)]
        assert float(told[3]) >= 0.9
    assert main("search my-index queries.npy -k 5 --rerank auto --format json".split()) == 0
    assert [line["ids"] for line in printed_lines(capsys)] == found.ids.tolist()
