"""Creating, opening, changing and reading an index; what is no index is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pqstore.errors import (
    IndexClosedError,
    IndexExistsError,
    IndexNotFoundError,
    ReadOnlyError,
)
from pqstore.storage import Store

Create = Callable[..., Store]


CODES = np.arange(80, dtype=np.uint8).reshape(10, 8)


def test_settings_and_arrays_come_back(create: Create, reopen: Create) -> None:
    arrays = {
        "codewords": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
        "rotation": np.eye(3, dtype=">f8"),
        "nothing": np.empty((0, 5), dtype=np.int16),
        "scalar": np.array(3.5),
    }
    settings = {"M": 8, "metric": "l2", "nested": {"a": [1, 2.5, None, True]}}
    create(settings=settings, arrays=arrays).close()
    store = reopen()
    assert store.identity.settings == settings
    with store.read() as snapshot:
        stored = snapshot.records.arrays()
    assert list(stored) == list(arrays)
    for name, array in arrays.items():
        assert np.array_equal(stored[name], array)
        assert stored[name].shape == array.shape
        assert stored[name].flags.writeable
    store.close()


def test_what_was_committed_is_there_after_reopening(create: Create, reopen: Create) -> None:
    store = create()
    with store.write() as txn:
        txn.append(CODES, np.arange(10) * 7)
    store.close()
    store = reopen(readonly=True)
    with store.read() as snapshot:
        assert snapshot.live_rows == 10
        assert np.array_equal(snapshot.codes_of(snapshot.rows_of([14, 63])), CODES[[2, 9]])
    store.close()


def test_handles_of_one_process_share_the_index(create: Create, reopen: Create, tmp_path: Path) -> None:
    first = create()
    link = tmp_path / "link"
    link.symlink_to(first.path)
    second, third = reopen(readonly=True), reopen(path=link)
    with first.write() as txn:
        txn.append(CODES, np.arange(10))
    first.close()
    for store in (second, third):
        with store.read() as snapshot:
            assert snapshot.live_rows == 10
    with third.write() as txn:
        txn.kill([0])
    snapshot = second.read()
    second.close()
    third.close()
    assert snapshot.live_rows == 9  # good until it is closed, though every handle is gone
    assert snapshot.ids_of([5]).tolist() == [5]
    snapshot.close()
    reopen().close()


def test_closed_and_readonly_handles_refuse(create: Create, reopen: Create) -> None:
    store = create()
    txn = store.write()
    with txn:
        txn.append(CODES, np.arange(10))
    with pytest.raises(IndexClosedError):
        txn.append(CODES, np.arange(10))
    store.close()
    store.close()
    for use in (store.read, store.write, store.stats):
        with pytest.raises(IndexClosedError):
            use()
    readonly = reopen(readonly=True)
    with pytest.raises(ReadOnlyError):
        readonly.write()
    readonly.close()


def test_create_refuses_what_is_there(create: Create, path: Path) -> None:
    path.mkdir()
    create().close()  # an empty directory is as good as none
    with pytest.raises(IndexExistsError):
        create()
    file = path.with_name("file")
    file.write_text("x")
    with pytest.raises(IndexExistsError):
        create(path=file)
    with pytest.raises(IndexNotFoundError):
        create(path=path.with_name("no") / "such" / "directory")
    assert sorted(entry.name for entry in path.parent.iterdir()) == ["file", "index.pqs"]


def test_a_failed_creation_leaves_nothing(create: Create, path: Path) -> None:
    with pytest.raises(TypeError):
        create(settings={"what msgpack cannot hold": object()})
    assert not any(path.parent.iterdir())


def test_open_refuses_what_is_no_index(reopen: Create, path: Path) -> None:
    with pytest.raises(IndexNotFoundError, match="does not exist"):
        reopen()
    path.write_bytes(b"not a directory")
    with pytest.raises(IndexNotFoundError, match="is a file"):
        reopen()
    path.unlink()
    path.mkdir()
    with pytest.raises(IndexNotFoundError, match="not an index"):
        reopen()
    assert not any(path.iterdir())


def test_relaxed_durability_is_remembered(create: Create, reopen: Create) -> None:
    create(durability="relaxed").close()
    store = reopen()
    assert store.stats().durability == "relaxed"
    with store.write() as txn:
        txn.append(CODES, np.arange(10))
    with reopen(durability="full") as strict:
        assert strict.stats().durability == "full"
        with strict.write() as txn:
            txn.kill([0])
    store.close()
