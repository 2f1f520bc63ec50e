"""Files that take their name when they are whole; who may read them is what the umask says."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

import pqstore
from pqstore.whole_file import whole_file

pytestmark = pytest.mark.skipif(os.name != "posix", reason="permissions as POSIX has them")


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize(("mask", "mode"), [(0o077, 0o600), (0o022, 0o644), (0o002, 0o664), (0, 0o666)])
def test_every_file_that_is_saved_follows_the_umask(mask: int, mode: int, tmp_path: Path) -> None:
    # Exported Faiss files were 0644 whatever the umask, the names beside them always 0600.
    vectors = np.random.default_rng(0).random((40, 4), dtype=np.float32)
    quantizer = pqstore.PQ(M=2, Ks=8, verbose=False).fit(vectors, iter=2)
    with umask(mask), pqstore.Index.create(tmp_path / "i", quantizer, id_type="str") as index:
        index.add(vectors)
        index.to_faiss(tmp_path / "i.faiss")
        quantizer.save(tmp_path / "pq.npz")
    for name in ("i.faiss", "i.faiss.ids.jsonl", "pq.npz"):
        assert mode_of(tmp_path / name) == mode, name


def test_a_file_that_is_replaced_keeps_its_permissions(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")
    path.chmod(0o600)
    with umask(0o022), whole_file(path) as stream:
        stream.write(b"new")
    assert path.read_bytes() == b"new"
    assert mode_of(path) == 0o600


def interrupted(path: Path) -> None:
    with whole_file(path) as stream:
        stream.write(b"half")
        raise KeyboardInterrupt


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "a"
    for before in (None, b"old"):
        if before is not None:
            path.write_bytes(before)
        with pytest.raises(KeyboardInterrupt):
            interrupted(path)
        assert (path.read_bytes() if path.exists() else None) == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("by_link", [False, True])
def test_a_pipe_gets_the_file_and_stays(tmp_path: Path, by_link: bool) -> None:
    """Saving to /dev/null as root put a file in the place of the device."""
    pipe = target = tmp_path / "pipe"
    os.mkfifo(pipe)
    if by_link:
        target = tmp_path / "link"
        target.symlink_to(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        with whole_file(target) as stream:
            stream.write(b"abc")
            stream.seek(1)
            stream.write(b"B")
        assert os.read(reader, 100) == b"aBc"
    finally:
        os.close(reader)
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert target.is_symlink() == by_link


@pytest.mark.parametrize("there", [False, True])
def test_a_link_stays_and_leads_to_the_file(tmp_path: Path, there: bool) -> None:
    (tmp_path / "elsewhere").mkdir()
    path = tmp_path / "elsewhere" / "a"
    if there:
        path.write_bytes(b"old")
    (tmp_path / "link").symlink_to(path)
    with whole_file(tmp_path / "link") as stream:
        stream.write(b"new")
    assert (tmp_path / "link").is_symlink()
    assert path.read_bytes() == b"new"
    assert [entry.name for entry in path.parent.iterdir()] == ["a"]


def test_a_directory_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError), whole_file(tmp_path) as stream:
        stream.write(b"new")
    assert list(tmp_path.iterdir()) == []
