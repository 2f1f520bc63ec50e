"""compact: removed rows are given back."""

from __future__ import annotations

from pathlib import Path

import pqstore
from pqstore.cli import main


def test_compact_gives_removed_rows_back(files: Path, capsys) -> None:
    Path("gone.txt").write_text("\n".join(str(n) for n in range(0, 1200, 2)))
    assert main("remove my-index --ids gone.txt".split()) == 0
    assert main("compact my-index".split()) == 0
    assert "600 removed rows before, 0 after" in capsys.readouterr().out
    with pqstore.Index.open("my-index") as index:
        assert list(index) == list(range(1, 1200, 2))
