"""Every released format can be opened, read, written to and compacted."""

from __future__ import annotations

import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest

from pqstore.storage import Snapshot, Store
from tests.unit.storage.attached import attached, check_attached, check_set

from . import golden


@pytest.fixture(params=["int64", "str"])
def index(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, str]:
    if sys.byteorder != "little":
        pytest.skip("the golden files were written on a little-endian machine")
    with tarfile.open(golden.DIRECTORY / f"format-1-{request.param}.tar.xz") as archive:
        for member in archive.getmembers():
            content = archive.extractfile(member)
            assert content is not None
            target = tmp_path / member.name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content.read())
    return tmp_path / f"{request.param}.pqs", request.param


def rows_in(snapshot: Snapshot) -> dict[object, bytes]:
    ids = [identifier for block in snapshot.iter_ids() for identifier in block.tolist()]
    rows = snapshot.rows_of(ids)
    codes = snapshot.codes_of(rows)
    check_attached(snapshot, rows)
    return {identifier: code.tobytes() for identifier, code in zip(ids, codes, strict=True)}


def test_golden_files_are_small() -> None:
    assert sum(entry.stat().st_size for entry in golden.DIRECTORY.iterdir()) < 300_000


def test_format_1(index: tuple[Path, str]) -> None:
    path, id_type = index
    expected = golden.contents(id_type)
    with Store.open(path, lambda _: golden.PACKING, readonly=True) as store:
        assert store.identity.settings == golden.SETTINGS
        assert store.identity.id_type == id_type
        arrays = store.arrays()
        assert list(arrays) == list(golden.ARRAYS)
        assert all(np.array_equal(arrays[name], array) for name, array in golden.ARRAYS.items())
        assert store.verify(deep=True) == []
        with store.read() as snapshot:
            assert rows_in(snapshot) == expected
            check_set(snapshot)
            assert snapshot.version == 6
    with Store.open(path, lambda _: golden.PACKING) as store:
        new = [golden.name(number, id_type) for number in range(10_000, 13_000)]
        gone = list(expected)[::3]
        with store.write() as txn:
            codes = np.full((3000, 4), 9, dtype=np.uint8)
            txn.append(codes, new, **attached(codes))
            txn.kill(txn.rows_of(gone))
        for identifier in gone:
            del expected[identifier]
        expected.update(dict.fromkeys(new, bytes([9] * 4)))
        for _ in range(2):
            assert store.verify(deep=True) == []
            with store.read() as snapshot:
                assert rows_in(snapshot) == expected
            store.compact()
