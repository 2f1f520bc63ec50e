"""Directories that are not as they were left, or not ours."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pqstore.errors import (
    PQStoreError,
    ReadOnlyError,
)
from pqstore.storage import Store
from pqstore.storage.disk.data_file import LOCK_FILE
from pqstore.storage.disk.directory import generation_path
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
        with Store.open(store.path, lambda _: RowPacking(8), readonly=True) as reader, reader.read() as snapshot:
            assert snapshot.live_rows == 10
            assert len(snapshot.chunks()) == 1
        with pytest.raises(ReadOnlyError):
            Store.open(store.path, lambda _: RowPacking(8))
        with pytest.raises(ReadOnlyError):
            Store.create(store.path.with_name("new"), {}, {}, RowPacking(8))

    assert in_child(work) == 0
