"""A backup ends, whatever stands in the directory of the index."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pqstore.errors import CorruptIndexError
from pqstore.storage import Store
from pqstore.storage.disk.directory import generation_path
from tests.unit.storage.attached import attached, row_bytes


def test_a_backup_that_fails_beside_what_looks_like_a_generation(
    create: Callable[..., Store], path: Path, tmp_path: Path
) -> None:
    """It was taken for a compaction that had come between, again and again."""
    codes = np.zeros((5, 8), dtype=np.uint8)
    with create(row_bytes=row_bytes(8)) as store:
        with store.write() as txn:
            txn.append(codes, np.arange(5), originals=attached(codes)["originals"])
        generation_path(path, 2).write_text("no directory")
        (originals,) = (generation_path(path, 1) / "originals").iterdir()
        originals.unlink()
        originals.mkdir()
        with pytest.raises(CorruptIndexError):
            store.backup(tmp_path / "copy")
        assert not (tmp_path / "copy").exists()
