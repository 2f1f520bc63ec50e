"""Directories that are not as they were left, or not ours."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest

from pqstore.errors import PQStoreError, ReadOnlyError, UnlockedIndexWarning
from pqstore.storage import Store
from pqstore.storage.disk.data_file import DATA_FILE
from pqstore.storage.disk.directory import generation_path
from pqstore.storage.disk.lock_file import LOCK_FILE
from tests.forked import in_child
from tests.unit.storage.row_packing import RowPacking

Create = Callable[..., Store]


CODES = np.arange(80, dtype=np.uint8).reshape(10, 8)


def test_a_missing_lock_file_is_made_again(create: Create, reopen: Create) -> None:
    store = create()
    lock_file = generation_path(store.path, 1) / LOCK_FILE
    store.close()
    lock_file.unlink()
    store = reopen()
    with store.write() as txn:
        txn.append(CODES)
    # Removed under a live index: readers of other processes would no longer be seen.
    lock_file.unlink()
    snapshot = store.read()
    with pytest.raises(PQStoreError, match="lock file was removed"):
        store.write()
    snapshot.close()
    with store.write() as txn:
        txn.append(CODES)
    assert lock_file.exists()
    with store.read() as snapshot:
        assert snapshot.live_rows == 20
    store.close()


@pytest.mark.skipif(os.getuid() != 0, reason="becomes another user in a child, which only root can")
@pytest.mark.parametrize("lockable", [False, True])
def test_a_directory_of_somebody_else(create: Create, tmp_path: Path, lockable: bool) -> None:
    store = create()
    with store.write() as txn:
        txn.append(CODES)
    store.close()
    private = [parent for parent in tmp_path.parents if parent.stat().st_mode & 0o077 == 0]
    for entry in (tmp_path, *private, store.path, *store.path.rglob("*")):
        entry.chmod(0o755 if entry.is_dir() else 0o444)
    if lockable:
        (generation_path(store.path, 1) / LOCK_FILE).chmod(0o666)

    def work() -> None:
        os.setuid(65534)
        told = nullcontext() if lockable else pytest.warns(UnlockedIndexWarning, match="lock file cannot be written")
        with told:
            reader = Store.open(store.path, lambda _: RowPacking(8), readonly=True)
        assert reader.stats().locked == lockable
        with reader, reader.read() as snapshot:
            assert snapshot.live_rows == 10
            assert len(snapshot.chunks()) == 1
        with pytest.raises(ReadOnlyError):
            Store.open(store.path, lambda _: RowPacking(8))
        with pytest.raises(ReadOnlyError):
            Store.create(store.path.with_name("new"), {}, {}, RowPacking(8))

    assert in_child(work) == 0


@pytest.mark.skipif(os.getuid() != 0, reason="becomes another user in a child, which only root can")
def test_no_writer_without_a_lock(create: Create, memory_path: Path) -> None:
    """Root looked at a service's index after a restore: the lock file was root's, and the service wrote unlocked."""
    store = create(path=memory_path / "index.pqs")
    with store.write() as txn:
        txn.append(CODES)
    store.close()
    lock_file = generation_path(store.path, 1) / LOCK_FILE
    memory_path.chmod(0o755)
    for entry in (store.path, *store.path.rglob("*")):
        os.chown(entry, 65534, 65534)
    os.chown(lock_file, 0, 0)
    lock_file.chmod(0o644)

    def work() -> None:
        os.setgid(65534)
        os.setuid(65534)
        with pytest.raises(ReadOnlyError, match=r"lock\.mdb may not be written by this process"):
            Store.open(store.path, lambda _: RowPacking(8))
        with pytest.warns(UnlockedIndexWarning):
            Store.open(store.path, lambda _: RowPacking(8), readonly=True).close()

    assert in_child(work) == 0


@pytest.mark.skipif(os.getuid() != 0, reason="gives files to another user, which only root can")
def test_what_root_makes_is_the_owners(create: Create, reopen: Create, memory_path: Path) -> None:
    path = memory_path / "index.pqs"
    create(path=path).close()
    memory_path.chmod(0o755)
    (generation_path(path, 1) / LOCK_FILE).unlink()
    for entry in (path, *path.rglob("*")):
        os.chown(entry, 65534, 65534)
    with reopen(path=path) as store:  # a lock file
        with store.write() as txn:  # the writer's
            txn.append(CODES)
        store.compact()  # a generation

    def work() -> None:
        os.setgid(65534)
        os.setuid(65534)
        with Store.open(path, lambda _: RowPacking(8)) as service, service.write() as txn:
            txn.append(CODES)

    assert {entry.stat().st_uid for entry in path.rglob("*")} == {65534}
    assert in_child(work) == 0


def test_a_hard_link_is_not_written_to(create: Create, reopen: Create, memory_path: Path) -> None:
    """`cp -al` makes a copy that shares its data file: a write to one would tear the other, whose lock is another."""
    path = memory_path / "index.pqs"
    with create(path=path) as store, store.write() as txn:
        txn.append(CODES)
    data_file = generation_path(path, 1) / DATA_FILE
    os.link(data_file, memory_path / "copy.mdb")
    with pytest.raises(ReadOnlyError, match="hard links"):
        reopen(path=path)
    with reopen(path=path, readonly=True) as reader, reader.read() as snapshot:
        assert snapshot.live_rows == 10
    (memory_path / "copy.mdb").unlink()
    reopen(path=path).close()
