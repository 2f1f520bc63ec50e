"""A pipe, a device, a directory, a socket or a link in the place of a file is named at once, whatever is asked."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pqstore.errors import CorruptIndexError, PQStoreError
from pqstore.storage import Store
from pqstore.storage.disk.regular_file import open_regular
from pqstore.storage.repair.repair import repair
from tests.fuzz.indexes import PACKING, Sound, build
from tests.unit.storage.attached import attached


def pipe(path: Path) -> None:
    os.mkfifo(path)


def directory(path: Path) -> None:
    path.mkdir()


def link(path: Path) -> None:
    target = path.with_name("elsewhere")
    target.write_bytes(b"precious")
    path.symlink_to(target)


def dangling(path: Path) -> None:
    path.symlink_to(path.with_name("not-there"))


def bound(path: Path) -> None:
    here = os.open(".", os.O_RDONLY)
    os.chdir(path.parent)  # the name of a socket may not be long
    try:
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(path.name)
    finally:
        os.fchdir(here)
        os.close(here)


KINDS = {"a named pipe": pipe, "a directory": directory, "a symbolic link": link, "a socket": bound}


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Sound:
    return build(tmp_path_factory.mktemp("sound") / "index.pqs", "int64", 5)


def replaced(sound: Sound, tmp_path: Path, name: str, make: Callable[[Path], None]) -> Path:
    path = Path(shutil.copytree(sound.path, tmp_path / "index.pqs"))
    file = next(iter(path.rglob(name)), path / name)
    file.unlink(missing_ok=True)
    make(file)
    return path


@pytest.mark.parametrize(("words", "make"), KINDS.items(), ids=KINDS)
@pytest.mark.parametrize("name", ["data.mdb", "lock.mdb"])
def test_files_of_lmdb(
    sound: Sound, tmp_path: Path, memory_path: Path, name: str, words: str, make: Callable[[Path], None]
) -> None:
    path = replaced(sound, memory_path, name, make)
    for readonly in (False, True):
        with pytest.raises(CorruptIndexError, match=words):
            Store.open(path, lambda _: PACKING, readonly=readonly)
    if name == "data.mdb":
        with pytest.raises(CorruptIndexError, match=words):
            repair(path, tmp_path / "repaired.pqs", lambda _: PACKING)
    assert all(file.read_bytes() == b"precious" for file in path.rglob("elsewhere"))


@pytest.mark.parametrize(("words", "make"), KINDS.items(), ids=KINDS)
def test_writer_lock(sound: Sound, memory_path: Path, words: str, make: Callable[[Path], None]) -> None:
    path = replaced(sound, memory_path, "writer.lock", make)
    with Store.open(path, lambda _: PACKING) as store:
        with pytest.raises(CorruptIndexError, match=words):
            store.write()
        with store.read() as snapshot:
            assert snapshot.live_rows == len(sound.rows)


@pytest.mark.parametrize(("words", "make"), KINDS.items(), ids=KINDS)
def test_originals(sound: Sound, tmp_path: Path, memory_path: Path, words: str, make: Callable[[Path], None]) -> None:
    path = replaced(sound, memory_path, "segment-00000000", make)
    with Store.open(path, lambda _: PACKING) as store:
        with store.read() as snapshot, pytest.raises(CorruptIndexError, match=words):
            snapshot.originals_of(snapshot.rows_of(list(sound.rows)[:5]))
        assert 22 in {problem.invariant for problem in store.verify()}
        with pytest.raises(PQStoreError, match=words):
            store.backup(tmp_path / "backup.pqs")
    report = repair(path, tmp_path / "repaired.pqs", lambda _: PACKING)
    assert report.rows_salvaged <= len(sound.rows)


def test_originals_are_not_written_through_a_link(sound: Sound, memory_path: Path) -> None:
    path = Path(shutil.copytree(sound.path, memory_path / "index.pqs"))
    file = max((path / "generation-00000001" / "originals").iterdir())
    file.unlink()
    link(file)
    codes = np.zeros((300, 8), dtype=np.uint8)
    with Store.open(path, lambda _: PACKING) as store, pytest.raises(PQStoreError), store.write() as txn:
        txn.append(codes, np.arange(10**6, 10**6 + 300), **attached(codes))
    assert file.with_name("elsewhere").read_bytes() == b"precious"


def test_what_is_missing_stays_so(tmp_path: Path) -> None:
    dangling(tmp_path / "link")
    with pytest.raises(CorruptIndexError, match="symbolic link"):
        open_regular(tmp_path / "link", os.O_RDWR | os.O_CREAT)
    assert not (tmp_path / "not-there").exists()
    with pytest.raises(FileNotFoundError):
        open_regular(tmp_path / "nothing")
