"""backup: the same index in another place."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import pqstore
from pqstore.cli import main


def test_backup_is_the_same_index(files: Path) -> None:
    assert main("backup my-index saved".split()) == 0
    with pqstore.Index.open("my-index") as index, pqstore.Index.open("saved") as saved:
        assert list(saved) == list(index)
        np.testing.assert_array_equal(saved.codes(list(saved)), index.codes(list(index)))
