"""The repair of a sound index is a copy; also of one that is open."""

from __future__ import annotations

import mmap
import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pqstore.errors import CorruptIndexError
from pqstore.storage import Store
from pqstore.storage.disk.data_file import DATA_FILE
from pqstore.storage.disk.directory import generation_path
from pqstore.storage.format import records
from pqstore.storage.format.state import State
from pqstore.storage.repair.repair import repair
from tests.format.edited import edited
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
    with store.read() as snapshot:
        assert snapshot.records.arrays()["codewords"].tolist() == list(range(6))
    model.check(store)
    assert store.verify(deep=True) == []
    store.close()


def filled(create: Create, rows: int = 5000) -> Store:
    store = create()
    with store.write() as txn:
        txn.append(np.arange(8 * rows).astype(np.uint8).reshape(rows, 8))
    return store


def test_an_index_that_is_open_is_repaired(create: Create, tmp_path: Path) -> None:
    """LMDB opens a file once a process; repair does not open it."""
    store = filled(create)
    with store.read() as snapshot:
        report = repair(store.path, tmp_path / "new", lambda _: RowPacking(8))
        assert (report.losses, report.rows_salvaged, report.scanned) == ([], 5000, False)
        assert snapshot.live_rows == 5000
    store.close()


@pytest.mark.parametrize("pages", [3, 6, 12])
def test_a_file_cut_short_ends_with_a_report(create: Create, tmp_path: Path, pages: int) -> None:
    """The map of the file was closed while views of it were held, which hid the report behind a BufferError."""
    store = filled(create)
    store.close()
    file = generation_path(store.path, 1) / DATA_FILE
    os.truncate(file, pages * mmap.PAGESIZE)
    try:
        report = repair(store.path, tmp_path / "new", lambda _: RowPacking(8))
    except CorruptIndexError as error:
        assert "damaged" in str(error)  # noqa: PT017 - which pages come first is LMDB's choice
    else:
        assert report.scanned
        assert report.rows_salvaged <= 5000


@pytest.mark.parametrize("flags", [0x04, 0x08, 0x10, 0x7FFF])
def test_damaged_flags_of_the_main_database(create: Create, tmp_path: Path, flags: int) -> None:
    store = filled(create)
    store.close()
    file = generation_path(store.path, 1) / DATA_FILE
    content = bytearray(file.read_bytes())
    for page in (0, 1):
        at = page * mmap.PAGESIZE + 88 + 4
        content[at : at + 2] = flags.to_bytes(2, sys.byteorder)
    file.write_bytes(content)
    report = repair(store.path, tmp_path / "new", lambda _: RowPacking(8))
    assert report.scanned
    assert report.rows_salvaged == 5000


def test_a_state_that_lies_is_worked_out_anew(create: Create, reopen: Create, tmp_path: Path) -> None:
    store = filled(create)
    store.close()
    with edited(generation_path(store.path, 1), "meta") as (txn, meta):
        state = State.unpack(memoryview(txn.get(records.STATE_KEY, db=meta)))
        txn.put(records.STATE_KEY, state._replace(open_segment=1, next_run=0).pack(), db=meta)
    with pytest.raises(CorruptIndexError):
        reopen()
    report = repair(store.path, tmp_path / "new", lambda _: RowPacking(8))
    assert report.rows_salvaged == 5000
    assert any("state: " in loss for loss in report.losses)


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
