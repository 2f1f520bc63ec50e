"""What an index says of itself: what there is beside vectors, too."""

from __future__ import annotations

import numpy as np

import pqstore
from pqstore.cli import main


def made(path, base, **settings) -> pqstore.Index:
    pq = pqstore.PQ(M=8, Ks=16, verbose=False).fit(base[:300], iter=2)
    index = pqstore.Index.create(path, pq, **settings)
    index.add(base[:300])
    return index


def test_a_plain_index_says_nothing_of_what_it_lacks(tmp_path, base) -> None:
    with made(tmp_path / "index", base) as index:
        stats = index.stats()
        assert (stats.originals, stats.fields, stats.sets, stats.calibration) == (None, (), {}, None)
        assert repr(index) == (f"<pqstore.Index {index.path!r}: 300 vectors, D=128, PQ M=8 Ks=16, l2, int64 ids>")
    assert repr(index) == f"<pqstore.Index {index.path!r}: closed, D=128, PQ M=8 Ks=16, l2, int64 ids>"


def test_originals_fields_sets_and_calibration_are_said(tmp_path, base, queries, capsys) -> None:
    with made(tmp_path / "index", base, originals="float16", fields=["lang", "year"]) as index:
        index.save_set("mine", [1, 2, 3])
        calibration = index.calibrate(queries[:5], k=5)
        stats = index.stats()
        assert (stats.originals, stats.fields, stats.sets) == ("float16", ("lang", "year"), {"mine": 3})
        assert stats.calibration == calibration
        assert "int64 ids, float16 originals, fields lang, year, 1 saved set, calibrated>" in repr(index)
    capsys.readouterr()
    assert main(["info", str(tmp_path / "index")]) == 0
    shown = dict(line.split(None, 1) for line in capsys.readouterr().out.splitlines() if " " in line)
    assert shown["originals"] == "float16"
    assert shown["fields"] == "lang, year"
    assert shown["sets"] == "mine 3"
    assert f"rerank {calibration.rerank}" in shown["calibration"]


def test_sizes_are_as_before(tmp_path, base) -> None:
    with made(tmp_path / "index", base, originals="float32") as index:
        stats = index.stats()
        assert stats.disk_bytes == stats.file_bytes + stats.originals_bytes
        assert stats.originals_bytes >= 300 * 128 * np.dtype(np.float32).itemsize
