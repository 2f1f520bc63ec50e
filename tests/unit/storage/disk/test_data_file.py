"""A data file that is missing, cut short, foreign, newer or damaged is refused by name."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import lmdb
import msgpack
import numpy as np
import pytest

from pqstore.errors import (
    CorruptIndexError,
    FormatVersionError,
)
from pqstore.storage import Store
from pqstore.storage.disk import data_file as data_files
from pqstore.storage.disk.data_file import DATA_FILE, DataFile
from pqstore.storage.disk.directory import generation_path
from pqstore.storage.format import records
from tests.format.edited import edited

Create = Callable[..., Store]


@pytest.fixture
def data_file(create: Create, path: Path, rng: np.random.Generator) -> Path:
    store = create()
    with store.write() as txn:
        txn.append(rng.integers(0, 256, (5000, 8), dtype=np.uint8), rng.permutation(5000))
    store.close()
    return generation_path(path, 1) / DATA_FILE


def test_a_missing_empty_or_foreign_data_file(reopen: Create, data_file: Path) -> None:
    data_file.write_bytes(b"")
    with pytest.raises(CorruptIndexError, match="empty"):
        reopen()
    data_file.write_bytes(b"SQLite format 3" * 1000)
    with pytest.raises(CorruptIndexError, match="does not begin"):
        reopen()
    data_file.unlink()
    with pytest.raises(CorruptIndexError, match="missing"):
        reopen()
    assert not data_file.exists()


@pytest.mark.parametrize("share", [0.001, 0.03, 0.3, 0.6, 0.9, 0.99])
def test_a_truncated_data_file(reopen: Create, data_file: Path, share: float) -> None:
    size = data_file.stat().st_size
    os.truncate(data_file, int(size * share))
    with pytest.raises(CorruptIndexError):
        reopen()


def _overwrite(data_file: Path, key: bytes, record: bytes) -> None:
    with edited(data_file.parent, "meta") as (txn, meta):
        txn.put(key, record, db=meta)


def test_an_index_of_a_newer_format(reopen: Create, data_file: Path) -> None:
    record = records.pack_record(records.IDENTITY, 0, 0, 0, [b"who knows what"], version=3)
    _overwrite(data_file, records.IDENTITY_KEY, bytes(record))
    with pytest.raises(FormatVersionError, match="format 3"):
        reopen()


def test_an_index_that_needs_an_unknown_feature(reopen: Create, data_file: Path) -> None:
    with lmdb.open(str(data_file.parent), max_dbs=20, map_size=1 << 24) as env, env.begin() as txn:
        value = txn.get(records.IDENTITY_KEY, db=env.open_db(b"meta", txn=txn, create=False))
    fields = msgpack.unpackb(records.open_record(memoryview(value), records.IDENTITY).payload)
    fields["features"] = ["partitions"]
    record = records.pack_record(records.IDENTITY, 0, 0, 0, [msgpack.packb(fields)])
    _overwrite(data_file, records.IDENTITY_KEY, bytes(record))
    with pytest.raises(FormatVersionError, match="partitions"):
        reopen()


def test_a_damaged_identity_or_state(reopen: Create, data_file: Path) -> None:
    for key in (records.STATE_KEY, records.IDENTITY_KEY):
        with edited(data_file.parent, "meta") as (txn, meta):
            good = txn.get(key, db=meta)
            txn.put(key, good[:-3] + bytes([good[-3] ^ 4]) + good[-2:], db=meta)
        with pytest.raises(CorruptIndexError, match=key.decode()):
            reopen()


@pytest.mark.parametrize("told", [True, False], ids=["names are told", "no names"])
def test_a_file_knows_whether_it_is_at_a_path(data_file: Path, told: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether its directory moved, was seen by another way, or another file took its place."""
    if not told:  # as on systems without /proc
        monkeypatch.setattr(data_files, "_name_of", lambda _: None)
    held = DataFile(data_file.parent)
    assert held.is_at(str(data_file))
    assert held.is_at(str(data_file))
    elsewhere, away = data_file.with_name("elsewhere"), data_file.parent.with_name("away")
    data_file.rename(elsewhere)
    assert not held.is_at(str(data_file))
    data_file.write_bytes(elsewhere.read_bytes())
    assert not held.is_at(str(data_file)), "a copy is another file"
    elsewhere.replace(data_file)
    assert held.is_at(str(data_file))
    data_file.parent.rename(away)
    assert not held.is_at(str(data_file))
    data_file.parent.symlink_to(away)
    assert held.is_at(str(data_file)), "the same file, by another way"
    assert held.is_at(str(away / DATA_FILE))
    (away / DATA_FILE).unlink()
    assert not held.is_at(str(data_file))
    held.close()


def test_a_file_under_its_name_is_not_asked_about(data_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks for its times makes Linux write them with the next commit."""
    asked: list[str] = []
    look = data_files.file_identity
    monkeypatch.setattr(data_files, "file_identity", lambda path: asked.append(path) or look(path))
    held = DataFile(data_file.parent)
    if data_files._name_of(held.descriptor) is None:
        pytest.skip("this system does not tell the names of open files")
    for _ in range(3):
        assert held.is_at(str(data_file))
    assert asked == [str(data_file)], "once: from then on its name says it"
    held.close()


@pytest.mark.skipif(not hasattr(os, "O_NOATIME"), reason="this system notes each access")
def test_reading_is_not_noted(data_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fcntl = pytest.importorskip("fcntl")
    try:
        bare = os.open(data_file, os.O_RDONLY | os.O_NOATIME)
    except PermissionError:
        pytest.skip("this system refuses that to the owner of a file")
    is_kept = fcntl.fcntl(bare, fcntl.F_GETFL) & os.O_NOATIME
    os.close(bare)
    if not is_kept:
        pytest.skip("this system does not tell whether accesses are noted")
    held = DataFile(data_file.parent)
    assert fcntl.fcntl(held.descriptor, fcntl.F_GETFL) & os.O_NOATIME
    held.close()

    def owned_by_another(path: Path, flags: int = os.O_RDONLY) -> int:
        if flags & os.O_NOATIME:
            raise PermissionError(1, "Operation not permitted")
        return os.open(path, flags)

    monkeypatch.setattr(data_files, "open_regular", owned_by_another)
    held = DataFile(data_file.parent)
    assert held.newest_transaction() > 0
    held.close()
