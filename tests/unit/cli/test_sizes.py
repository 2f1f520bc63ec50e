"""Sizes that the command prints count the files of originals, which lie beside the file of codes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pqstore
from pqstore.cli import main


def test_originals_count_wherever_sizes_are_printed(files: Path, capsys) -> None:
    # Bytes a vector were printed without them: 4 D bytes too few.
    assert main("build vectors.npy whole --M 8 --Ks 16 --iter 2 --originals float32".split()) == 0
    printed = capsys.readouterr().out
    with pqstore.Index.open("whole") as index:
        stats = index.stats()
    on_disk = sum(file.stat().st_size for file in Path("whole").rglob("originals/*"))
    assert stats.originals_bytes == on_disk > 4 * stats.D * stats.vectors
    assert stats.disk_bytes == stats.file_bytes + stats.originals_bytes
    assert f"{stats.disk_bytes / stats.vectors:.1f} B a vector" in printed

    assert main("info whole --format json".split()) == 0
    assert json.loads(capsys.readouterr().out)["originals_bytes"] == stats.originals_bytes
    assert main("backup whole saved".split()) == 0
    with pqstore.Index.open("saved") as index:
        assert f"{index.stats().disk_bytes / 1e6:,.1f} MB" in capsys.readouterr().out
    with pqstore.Index.open("whole") as index:
        index.remove(list(range(stats.vectors // 2)))
    assert main("compact whole".split()) == 0
    before, after = map(float, re.findall(r"([\d.]+) MB", capsys.readouterr().out))
    with pqstore.Index.open("whole") as index:
        assert f"{index.stats().disk_bytes / 1e6:.1f}" == f"{after:.1f}"
    assert before >= after
