"""LMDB overwrites whatever stands in the place of its lock file: what is none is refused before LMDB opens it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pqstore.errors import CorruptIndexError
from pqstore.storage import Store
from pqstore.storage.disk.directory import generation_path
from pqstore.storage.disk.lock_file import LOCK_FILE

Create = Callable[..., Store]


@pytest.fixture
def lock_file(create: Create, path: Path) -> Path:
    create().close()
    return generation_path(path, 1) / LOCK_FILE


@pytest.mark.parametrize("readonly", [False, True])
@pytest.mark.parametrize("content", [b"precious" * 1000, b"x"])
def test_a_file_of_something_else(lock_file: Path, reopen: Create, content: bytes, readonly: bool) -> None:
    lock_file.write_bytes(content)
    with pytest.raises(CorruptIndexError, match="not a lock file of LMDB: remove it"):
        reopen(readonly=readonly)
    assert lock_file.read_bytes() == content


@pytest.mark.parametrize("readonly", [False, True])
@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_a_link(
    lock_file: Path, reopen: Create, tmp_path: Path, link: Callable[[Path, Path], None], readonly: bool
) -> None:
    """Also one to another index's lock file: two indexes with one table of readers."""
    for content in (b"precious", lock_file.read_bytes()):
        (tmp_path / "elsewhere").write_bytes(content)
        lock_file.unlink(missing_ok=True)
        link(tmp_path / "elsewhere", lock_file)
        with pytest.raises(CorruptIndexError, match="link"):
            reopen(readonly=readonly)
        assert (tmp_path / "elsewhere").read_bytes() == content


@pytest.mark.parametrize("rest", [bytes(8188), None])
def test_a_file_that_was_begun(lock_file: Path, reopen: Create, rest: bytes | None) -> None:
    """A process that died between giving the file its size and writing its head left an index nobody could open."""
    lock_file.write_bytes(bytes(4) + (lock_file.read_bytes()[4:] if rest is None else rest))
    with reopen() as store, store.read() as snapshot:
        assert snapshot.live_rows == 0
    assert lock_file.read_bytes()[:4] != bytes(4)


def test_an_empty_or_missing_file_is_filled(lock_file: Path, reopen: Create) -> None:
    lock_file.write_bytes(b"")
    reopen().close()
    lock_file.unlink()
    lock_file.parent.joinpath("data.mdb").chmod(0o640)
    reopen().close()
    assert lock_file.stat().st_size > 0
    assert lock_file.stat().st_mode & 0o777 == 0o640
