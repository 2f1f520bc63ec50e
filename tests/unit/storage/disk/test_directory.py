"""What counts as a generation, whatever else lies in the directory of an index."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pqstore.errors import IndexNotFoundError, PQStoreError
from pqstore.storage import Store
from pqstore.storage.disk import directory
from pqstore.storage.disk.directory import generation_path, newest_generation, next_generation, older_generations

Create = Callable[..., Store]

CODES = np.arange(80, dtype=np.uint8).reshape(10, 8)


@pytest.fixture
def filled(create: Create, path: Path) -> Path:
    with create() as store, store.write() as txn:
        txn.append(CODES)
    return path


def use(store: Store) -> None:
    """Write, compact, write."""
    with store:
        with store.write() as txn:
            txn.append(CODES)
        store.compact()
        with store.write() as txn:
            txn.append(CODES)
        assert store.verify(deep=True) == []


@pytest.mark.parametrize("name", ["generation-00000000", "generation-00000002", "generation-99999999"])
@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda path: path.write_text("notes"), id="file"),
        pytest.param(lambda path: path.mkdir(), id="empty directory"),
        pytest.param(lambda path: path.symlink_to("/"), id="link"),
        pytest.param(os.mkfifo, id="pipe"),
    ],
)
def test_a_stray_entry_named_like_a_generation(
    filled: Path, reopen: Create, name: str, make: Callable[[Path], object]
) -> None:
    """A file of such a name made every write fail, and one of a higher number every open."""
    make(filled / name)
    use(reopen())
    with reopen() as store, store.read() as snapshot:
        assert snapshot.live_rows == 30


def test_a_stray_entry_that_comes_while_the_index_is_open(filled: Path, reopen: Create) -> None:
    store = reopen()
    store.read().close()
    (filled / "generation-00000002").write_text("notes")
    (filled / "mine.unfinished-work").mkdir()
    use(store)
    assert (filled / "generation-00000002").read_text() == "notes"
    assert (filled / "mine.unfinished-work").is_dir()


@pytest.mark.parametrize("number", [0, 99_999_998, 99_999_999, 100_000_000, 10**17], ids=lambda number: f"{number}")
def test_numbers_of_any_length(filled: Path, reopen: Create, number: int) -> None:
    """Compaction of 99,999,999 made a directory that nobody found, and removed the old one."""
    generation_path(filled, 1).rename(generation_path(filled, number))
    use(reopen())
    assert newest_generation(filled) == number + 1
    with reopen() as store, store.read() as snapshot:
        assert snapshot.live_rows == 30


def test_the_last_number(filled: Path, reopen: Create) -> None:
    last = generation_path(filled, 10**18 - 1)
    generation_path(filled, 1).rename(last)
    with reopen() as store, pytest.raises(PQStoreError, match="make a backup"):
        store.compact()
    last.rename(filled / f"generation-{10**18}")
    with pytest.raises(IndexNotFoundError):
        reopen()


@pytest.mark.parametrize("name", ["generation-1", "generation-000000001", "generation-0000000\u0661", "generation-"])
def test_other_spellings_are_no_generations(filled: Path, reopen: Create, name: str) -> None:
    generation_path(filled, 1).rename(filled / name)
    with pytest.raises(IndexNotFoundError):
        reopen()


def test_older_generations_are_directories_with_something_in_them(tmp_path: Path) -> None:
    for number in (1, 3, 4, 7):
        generation_path(tmp_path, number).mkdir()
        (generation_path(tmp_path, number) / "data.mdb").touch()
    generation_path(tmp_path, 2).mkdir()
    generation_path(tmp_path, 5).touch()
    generation_path(tmp_path, 6).symlink_to(generation_path(tmp_path, 1))
    assert sorted(older_generations(tmp_path, 7)) == [generation_path(tmp_path, number) for number in (1, 3, 4)]


def test_a_compaction_between_two_looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The generation was listed, then replaced and removed: the index seemed to be none."""
    generation_path(tmp_path, 1).mkdir()
    (generation_path(tmp_path, 1) / "data.mdb").touch()
    look = directory._has_entries

    def compacted_before(path: str) -> bool:
        if Path(path) == generation_path(tmp_path, 1):
            generation_path(tmp_path, 1).rename(generation_path(tmp_path, 2))
        return look(path)

    monkeypatch.setattr(directory, "_has_entries", compacted_before)
    assert newest_generation(tmp_path) == 2


def test_the_next_number_whose_name_is_free(tmp_path: Path) -> None:
    (tmp_path / "generation-00000008").write_text("")
    (tmp_path / "generation-00000009").symlink_to("nowhere")
    assert next_generation(tmp_path, 7) == tmp_path / "generation-00000010"
    assert next_generation(tmp_path, 10) == tmp_path / "generation-00000011"


@pytest.mark.parametrize("place", ["generation", "originals"])
@pytest.mark.parametrize("what", ["link", "file"])
def test_directories_inside_an_index_that_are_none(
    create: Create, reopen: Create, path: Path, tmp_path: Path, place: str, what: str
) -> None:
    """A link in the place of a directory made pqstore write elsewhere."""
    with create(row_bytes=4) as store, store.write() as txn:
        txn.append(CODES, originals=np.zeros((10, 4), dtype=np.uint8))
    found = generation_path(path, 1) / ("originals" if place == "originals" else "")
    elsewhere = tmp_path / "elsewhere"
    found.rename(elsewhere)
    before = {entry: entry.stat().st_mtime_ns for entry in elsewhere.rglob("*")}
    found.symlink_to(elsewhere) if what == "link" else found.write_text("")
    if place == "generation":
        with pytest.raises(IndexNotFoundError):
            reopen()
    else:
        with reopen() as store:
            with store.read() as snapshot, pytest.raises(PQStoreError, match="not a directory"):
                snapshot.originals_of([0])
            with pytest.raises(PQStoreError, match="not a directory"), store.write() as txn:
                txn.append(CODES, originals=np.zeros((10, 4), dtype=np.uint8))
            assert 22 in {problem.invariant for problem in store.verify()}
            with pytest.raises(PQStoreError, match="not a directory"):
                store.stats()
    assert {entry: entry.stat().st_mtime_ns for entry in elsewhere.rglob("*")} == before
