"""An index made empty on the command line, filled, trained and trained anew."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import pqstore
from pqstore.cli import main


def test_the_life_of_an_index(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    vectors = np.random.default_rng(0).standard_normal((400, 16)).astype(np.float32)
    np.save("some.npy", vectors)
    assert (
        main("create notes --dim 16 --M 4 --Ks 16 --metric cosine --id-type str --fields a,b --train-at 500".split())
        == 0
    )
    assert "exact until 500 vectors, then PQ M=4 Ks=16" in capsys.readouterr().out
    Path("names").write_text("".join(f"n{n}\n" for n in range(400)))
    assert main("add notes some.npy --ids names".split()) == 0
    assert main("search notes some.npy -k 1 --format json".split()) == 0
    assert '"n7"' in capsys.readouterr().out
    assert main(["train", "notes"]) == 0
    assert main(["train", "notes"]) == 0
    assert "trained already" in capsys.readouterr().out
    assert main("retrain notes --M 8 --Ks 16 --opq --sample 300".split()) == 0
    assert main(["info", "notes"]) == 0
    assert "drift" in capsys.readouterr().out
    with pqstore.Index.open("notes") as index:
        assert (index.phase, index.quantizer.kind, index.quantizer.M, len(index)) == ("codes", "OPQ", 8, 400)
        assert index.fields == ("a", "b")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("create x --dim 0", "at least 1"),
        ("create x --dim 10 --M 3", "does not divide"),
        ("create x --dim 10 --opq", "go with --M"),
        ("train coded --opq", "go with --M"),
        ("retrain coded", "keeps no vectors"),
    ],
)
def test_refused(tmp_path: Path, small_pq: pqstore.PQ, capsys, monkeypatch, line: str, said: str) -> None:
    monkeypatch.chdir(tmp_path)
    pqstore.Index.create("coded", small_pq).close()
    assert main(line.split()) == 2
    assert said in capsys.readouterr().err
    assert not Path("x").exists()
