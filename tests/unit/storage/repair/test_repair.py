"""The repair of a sound index is a copy; also of one that is open."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from pqstore.storage import Store, repair
from tests.unit.storage.model import Model
from tests.unit.storage.row_packing import RowPacking

Create = Callable[..., Store]


def test_repair_of_a_sound_index_is_a_copy(create: Create, reopen: Create, model: Model, tmp_path: Path) -> None:
    store = create(id_type=model.id_type, arrays={"codewords": np.arange(6.0)}, settings={"M": 8})
    model.add(store, 5000)
    model.remove(store, 700)
    model.replace(store, 300)
    store.close()
    report = repair(store.path, tmp_path / "new", lambda _: RowPacking(8))
    assert (report.losses, report.rows_lost, report.rows_salvaged) == ([], 0, 4300)
    store = reopen(path=tmp_path / "new")
    assert store.arrays()["codewords"].tolist() == list(range(6))
    model.check(store)
    assert store.verify(deep=True) == []
    store.close()


def test_repair_of_an_index_that_is_open_here(
    create: Create, reopen: Create, rng: np.random.Generator, tmp_path: Path
) -> None:
    """LMDB opens a file once in a process."""
    codes = rng.integers(0, 256, (500, 8), dtype=np.uint8)
    store = create()
    with store.write() as txn:
        txn.append(codes)
    with store.read() as snapshot:
        report = repair(store.path, tmp_path / "first", lambda _: RowPacking(8))
        assert (report.losses, report.rows_salvaged) == ([], 500)
        assert snapshot.live_rows == 500
    with store.write() as txn:
        txn.append(codes)
        report = repair(store.path, tmp_path / "second", lambda _: RowPacking(8))
    assert (report.losses, report.rows_salvaged) == ([], 500)
    with reopen(path=tmp_path / "second") as repaired:
        assert repaired.verify(deep=True) == []
    with store.read() as snapshot:
        assert snapshot.live_rows == 1000


def test_repair_of_an_index_that_was_damaged_while_it_was_open(
    create: Create, rng: np.random.Generator, tmp_path: Path
) -> None:
    codes = rng.integers(0, 256, (5000, 8), dtype=np.uint8)
    store = create()
    with store.write() as txn:
        txn.append(codes)
    with (store.path / "generation-00000001" / "data.mdb").open("r+b") as file:
        file.seek(4096 + 24)  # within the head of a meta page
        file.write(b"\xff" * 8)
    report = repair(store.path, tmp_path / "repaired", lambda _: RowPacking(8))
    assert report.scanned
    assert report.rows_salvaged == 5000
