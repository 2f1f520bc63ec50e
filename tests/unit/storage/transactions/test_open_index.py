"""An open index whose directory is swapped, moved, removed or written over: no handle takes another for its own."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pqstore.errors import IndexNotFoundError, IndexReplacedError, PQStoreError
from pqstore.storage import Store
from pqstore.storage.disk.data_file import DATA_FILE
from pqstore.storage.disk.directory import generation_path
from tests.forked import in_child
from tests.unit.storage.processes import start_python

Create = Callable[..., Store]

CODES = np.arange(80, dtype=np.uint8).reshape(10, 8)


def add(store: Store, rows: int = 10) -> None:
    with store.write() as txn:
        txn.append(CODES[:rows])


def change(store: Store) -> None:
    store.change(lambda txn: txn.append(CODES))


def rows_of(store: Store) -> int:
    with store.read() as snapshot:
        return snapshot.live_rows


@pytest.fixture
def live(create: Create, path: Path) -> Store:
    """An index of 10 rows, open."""
    store = create()
    add(store)
    return store


@pytest.fixture
def following(create: Create, path: Path) -> Path:
    """Another index, of 3 rows, that is to take the place of the first."""
    with create(path=path.with_name("next")) as store:
        add(store, 3)
    return path.with_name("next")


def swap(path: Path, following: Path) -> None:
    path.rename(path.with_name("old"))
    following.rename(path)


def make_anew(path: Path, following: Path) -> None:
    shutil.rmtree(path)
    shutil.copytree(following, path)


def fill_anew(path: Path, following: Path) -> None:
    """A mount point is emptied and filled: the directory stays the same."""
    for entry in path.iterdir():
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    shutil.copytree(following, path, dirs_exist_ok=True)


def replace_data_file(path: Path, following: Path) -> None:
    (generation_path(following, 1) / DATA_FILE).replace(generation_path(path, 1) / DATA_FILE)


def write_over_data_file(path: Path, following: Path) -> None:
    content = (generation_path(following, 1) / DATA_FILE).read_bytes()
    with (generation_path(path, 1) / DATA_FILE).open("r+b") as file:
        file.write(content)


REPLACED = [swap, make_anew, fill_anew, replace_data_file, write_over_data_file]


@pytest.mark.parametrize("write", [add, change, Store.compact])
@pytest.mark.parametrize("replace", REPLACED)
def test_a_write_to_an_index_that_was_replaced(
    live: Store,
    path: Path,
    following: Path,
    reopen: Create,
    replace: Callable[[Path, Path], None],
    write: Callable[[Store], None],
) -> None:
    """The old handle wrote its codes into the new index, whose quantizer was another."""
    replace(path, following)
    for _ in range(2):
        with pytest.raises(IndexReplacedError, match="open it anew"):
            write(live)
        with pytest.raises(IndexReplacedError, match="open it anew"):
            live.read()
    with reopen() as fresh:
        assert rows_of(fresh) == 3
        add(fresh)
        assert fresh.verify(deep=True) == []
        with pytest.raises(IndexReplacedError):
            live.compact()
        live.close()
        add(fresh)
        assert rows_of(fresh) == 23


@pytest.mark.parametrize("replace", REPLACED)
def test_both_are_open_at_the_same_time(
    live: Store, path: Path, following: Path, reopen: Create, replace: Callable[[Path, Path], None]
) -> None:
    """The new handle comes first: the old one is told at its next write, and disturbs nothing."""
    replace(path, following)
    with reopen() as fresh:
        assert rows_of(fresh) == 3
        add(fresh)
        with pytest.raises(IndexReplacedError):
            add(live)
        with fresh.write() as txn:
            live.close()  # gives nothing away that the writer needs
            txn.append(CODES)
        assert rows_of(fresh) == 23
        assert fresh.verify(deep=True) == []


@pytest.mark.parametrize("replace", REPLACED)
def test_a_read_after_a_fork(live: Store, path: Path, following: Path, replace: Callable[[Path, Path], None]) -> None:
    """A fork closes the environment; the next read opened whatever was there by then."""
    replace(path, following)

    def work() -> None:
        with pytest.raises(IndexReplacedError):
            live.read()

    assert in_child(work) == 0
    with pytest.raises(IndexReplacedError):
        live.read()


def test_snapshots_of_a_replaced_index_stay_good(live: Store, path: Path, following: Path, reopen: Create) -> None:
    with live.read() as snapshot:
        swap(path, following)
        with pytest.raises(IndexReplacedError):
            add(live)
        with reopen() as fresh:
            assert rows_of(fresh) == 3
            assert snapshot.codes_of(np.arange(10)).tolist() == CODES.tolist()


def test_written_over_while_a_snapshot_is_open(live: Store, path: Path, following: Path, reopen: Create) -> None:
    """What the snapshot maps is not its own any more; LMDB cannot open the file a second time beside it."""
    snapshot = live.read()
    write_over_data_file(path, following)
    with pytest.raises(PQStoreError, match="close them"):
        reopen()
    snapshot.close()
    with reopen() as fresh:
        assert rows_of(fresh) == 3


def test_an_older_copy_of_the_same_index_written_over_it(live: Store, path: Path, reopen: Create) -> None:
    data_file = generation_path(path, 1) / DATA_FILE
    saved = data_file.read_bytes()
    for _ in range(3):
        add(live)
    with data_file.open("r+b") as file:
        file.write(saved)
    with pytest.raises(IndexReplacedError):
        add(live)
    with reopen() as fresh:
        assert rows_of(fresh) == 10


def test_the_number_of_a_removed_directory_is_not_given_again(create: Create, path: Path) -> None:
    """Handles were found by device and number, and a file system gives the number of a removed directory anew."""
    handles = [create()]
    numbers = {path.stat().st_ino}
    for turn in range(1, 6):
        shutil.rmtree(path)
        handles.append(create(settings={"M": 8, "turn": turn}))
        assert handles[-1].identity.settings["turn"] == turn
        numbers.add(path.stat().st_ino)
        add(handles[-1])
    assert len(numbers) == 6
    for handle in handles[:-1]:
        with pytest.raises(IndexReplacedError):
            add(handle)
    assert rows_of(handles[-1]) == 10
    for handle in handles:
        handle.close()


@pytest.mark.parametrize("write", [add, change, Store.compact])
@pytest.mark.parametrize("gone", [lambda path: path.rename(path.with_name("moved")), shutil.rmtree])
def test_a_directory_that_is_gone(
    live: Store, path: Path, gone: Callable[[Path], object], write: Callable[[Store], object], reopen: Create
) -> None:
    gone(path)
    assert rows_of(live) == 10
    assert live.verify(deep=True) == []
    assert live.stats().file_bytes > 0
    with pytest.raises(IndexReplacedError, match="moved or removed"):
        write(live)
    with pytest.raises(IndexReplacedError, match="moved or removed"):
        live.read()
    with pytest.raises(IndexNotFoundError):
        reopen()


def test_a_directory_that_was_moved_is_opened_where_it_is(live: Store, path: Path, reopen: Create) -> None:
    """The new name said that there was no index at the old one."""
    moved = path.with_name("moved")
    with live.read() as snapshot:
        path.rename(moved)
        with reopen(path=moved) as fresh:
            assert rows_of(fresh) == rows_of(live) == snapshot.live_rows == 10
            add(fresh)
            assert fresh.path == moved
            with pytest.raises(IndexReplacedError):
                add(live)
            fresh.compact()
            add(fresh)
            assert rows_of(fresh) == 30
            assert fresh.verify(deep=True) == []


def test_two_names_of_one_directory(live: Store, path: Path, reopen: Create) -> None:
    path.with_name("link").symlink_to(path)
    with reopen(path=path.with_name("link")) as other:
        add(other)
        add(live)
        assert rows_of(other) == rows_of(live) == 30


def test_a_link_that_is_turned_to_another_index(
    live: Store, path: Path, following: Path, reopen: Create, create: Create
) -> None:
    """How releases of an index are often switched."""
    link = path.with_name("current")
    link.symlink_to(path)
    with reopen(path=link) as old:
        path.with_name("new-link").symlink_to(following)
        path.with_name("new-link").rename(link)
        with pytest.raises(IndexReplacedError, match="open it anew"):
            add(old)
        with reopen(path=link) as fresh:
            assert rows_of(fresh) == 3
    add(live)
    assert rows_of(live) == 20


def test_a_writer_lock_that_is_removed(live: Store, path: Path) -> None:
    """A lock on a removed file keeps nobody out."""
    add(live)
    (path / "writer.lock").unlink()
    child = start_python(
        """
        print("open", flush=True)
        sys.stdin.readline()
        try:
            store.write(timeout=0.05)
        except TimeoutError as error:
            print(type(error).__name__)
        """,
        str(path),
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "open\n"
    with live.write():
        assert (path / "writer.lock").exists()
        assert child.communicate("go\n")[0] == "IndexLockedError\n"
