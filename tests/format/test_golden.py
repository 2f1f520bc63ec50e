"""Every released format can be opened, read, written to and compacted."""

from __future__ import annotations

import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest

from pqstore.errors import FormatVersionError
from pqstore.storage import Limits, Snapshot, SnapshotLists, Store
from pqstore.storage.format import records
from tests.unit.storage.attached import attached, check_attached, check_set
from tests.unit.storage.listed import assign, check_lists

from . import golden


@pytest.fixture(params=["int64", "str"])
def index(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, str]:
    return unpacked(request.param, tmp_path), request.param


def unpacked(name: str, directory: Path) -> Path:
    if sys.byteorder != "little":
        pytest.skip("the golden files were written on a little-endian machine")
    with tarfile.open(golden.DIRECTORY / f"format-1-{name}.tar.xz") as archive:
        for member in archive.getmembers():
            content = archive.extractfile(member)
            assert content is not None
            target = directory / member.name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content.read())
    return directory / f"{name}.pqs"


def rows_in(snapshot: Snapshot) -> dict[object, bytes]:
    ids = [identifier for block in snapshot.iter_ids() for identifier in block.tolist()]
    rows = snapshot.rows_of(ids)
    codes = snapshot.codes_of(rows)
    check_attached(snapshot, rows)
    return {identifier: code.tobytes() for identifier, code in zip(ids, codes, strict=True)}


def test_golden_files_are_small() -> None:
    assert sum(entry.stat().st_size for entry in golden.DIRECTORY.iterdir()) < 400_000


def test_format_1(index: tuple[Path, str]) -> None:
    path, id_type = index
    expected = golden.contents(id_type)
    with Store.open(path, lambda _: golden.PACKING, readonly=True) as store:
        assert store.identity.settings == golden.SETTINGS
        assert store.identity.id_type == id_type
        with store.read() as snapshot:
            arrays = snapshot.records.arrays()
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


def test_lists(tmp_path: Path) -> None:
    """Of two runs; they are read, followed and merged."""
    expected = golden.contents("int64") | {number: golden.code_of(number) for number in range(20_000, 21_500)}
    limits = Limits(list_slice=2048, list_smallest_tier=512, list_step=512)
    with Store.open(unpacked("lists", tmp_path), lambda _: golden.PACKING, limits=limits) as store:
        store.assign_with(assign)
        for runs in (2, 3, 1):
            assert store.verify(deep=True) == []
            with store.read() as snapshot:
                assert rows_in(snapshot) == expected
                assert SnapshotLists(snapshot).read() is not None
                assert len(SnapshotLists(snapshot).read().runs) == runs
                assert check_lists(snapshot) > 3000
            if runs == 3:
                store.compact()
            elif runs == 2:
                new = np.arange(30_000, 31_000)
                codes = np.full((1000, 4), 9, dtype=np.uint8)
                with store.write() as txn:
                    txn.append(codes, new, **attached(codes))
                expected |= dict.fromkeys(new.tolist(), bytes([9] * 4))


def test_an_earlier_version_leaves_an_index_with_lists_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = unpacked("lists", tmp_path)
    monkeypatch.setattr(records, "FEATURES", frozenset({records.NUMBERED_STATES}))
    with pytest.raises(FormatVersionError, match=r"features unknown to this pqstore \(lists\): upgrade pqstore"):
        Store.open(path, lambda _: golden.PACKING)
