"""A new index in an empty directory that is there already: perhaps a mount point, which nothing is renamed over."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import pqstore
from pqstore.cli import main
from pqstore.errors import IndexExistsError, ReadOnlyError, StorageFullError
from pqstore.storage import Store
from pqstore.storage.disk import crash_points
from pqstore.storage.repair.repair import repair
from tests.unit.storage.row_packing import RowPacking

ROOT = Path(__file__).parents[3]
CODES = np.arange(80, dtype=np.uint8).reshape(10, 8)


@pytest.fixture
def there(path: Path) -> Path:
    path.mkdir(mode=0o750)
    return path


def identity(path: Path) -> tuple[int, int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino, status.st_mode


def fill(store: Store) -> None:
    with store.write() as txn:
        txn.append(CODES)


def test_create_fills_the_directory_that_is_there(there: Path, create: Callable[..., Store]) -> None:
    before = identity(there)
    with create() as store:
        fill(store)
    assert identity(there) == before
    assert [entry.name for entry in there.iterdir() if "unfinished" in entry.name] == []
    assert list(there.parent.iterdir()) == [there]


def test_bulk_builds_within_it_and_other_handles_find_it(
    there: Path, create: Callable[..., Store], reopen: Callable[..., Store]
) -> None:
    before = identity(there)
    with create(bulk=True) as store:
        fill(store)
        assert list(there.parent.iterdir()) == [there]
        store.publish()
        assert identity(there) == before
        with reopen() as other:
            with other.write() as txn:
                txn.append(CODES)
            with store.read() as snapshot:
                assert snapshot.live_rows == 20
    with reopen() as again, again.read() as snapshot:
        assert snapshot.live_rows == 20
        assert again.verify(deep=True) == []


def test_a_compacted_bulk_index_is_put_there_whole(
    there: Path, create: Callable[..., Store], reopen: Callable[..., Store]
) -> None:
    with create(bulk=True) as store:
        fill(store)
        store.compact()
        store.publish()
    with reopen() as again, again.read() as snapshot:
        assert snapshot.live_rows == 10


def test_bulk_that_is_not_published_leaves_the_directory_empty(there: Path, create: Callable[..., Store]) -> None:
    with create(bulk=True) as store:
        fill(store)
    assert list(there.iterdir()) == []


def test_backup_and_repair_fill_it(tmp_path: Path, create: Callable[..., Store], packing: RowPacking) -> None:
    for name in ("copy", "saved"):
        (tmp_path / name).mkdir()
    before = identity(tmp_path / "copy"), identity(tmp_path / "saved")
    with create() as store:
        fill(store)
        store.backup(tmp_path / "copy")
    repair(tmp_path / "copy", tmp_path / "saved", lambda _: packing)
    assert (identity(tmp_path / "copy"), identity(tmp_path / "saved")) == before
    for name in ("copy", "saved"):
        with Store.open(tmp_path / name, lambda _: packing) as again, again.read() as snapshot:
            assert snapshot.live_rows == 10


def test_what_a_new_file_system_has_in_it_is_nothing(there: Path, create: Callable[..., Store]) -> None:
    (there / "lost+found").mkdir()
    with create() as store:
        fill(store)
    assert (there / "lost+found").is_dir()


def test_a_creation_that_dies_leaves_nothing_that_is_in_the_way(there: Path, create: Callable[..., Store]) -> None:
    code = """
    import os, sys
    from pqstore.storage import Store
    from pqstore.storage.disk import crash_points
    from tests.unit.storage.row_packing import RowPacking
    crash_points.observe(lambda name: os._exit(9) if name == "index created under a temporary name" else None)
    Store.create(sys.argv[1], {"M": 8}, {}, RowPacking(8))
    """
    died = subprocess.run([sys.executable, "-c", textwrap.dedent(code), str(there)], cwd=ROOT, check=False)
    assert died.returncode == 9
    assert len(list(there.iterdir())) == 1
    with pytest.raises(pqstore.IndexNotFoundError):
        pqstore.Index.open(there)
    with create() as store:
        fill(store)
    assert [entry.name for entry in there.iterdir() if "unfinished" in entry.name] == []


@pytest.mark.parametrize("there_before", [True, False])
def test_whoever_comes_second_is_told(path: Path, create: Callable[..., Store], there_before: bool) -> None:
    if there_before:
        path.mkdir()
    made: list[Store] = []

    def meanwhile(name: str) -> None:
        if name == "index created under a temporary name":
            crash_points.observe(None)
            made.append(create())

    crash_points.observe(meanwhile)
    try:
        with pytest.raises(IndexExistsError, match="quicker"):
            create()
    finally:
        crash_points.observe(None)
    with made[0] as store:
        fill(store)
    assert not [entry for entry in (*path.iterdir(), *path.parent.iterdir()) if "unfinished" in entry.name]


def build_line(tmp_path: Path, rng: np.random.Generator) -> list[str]:
    np.save(tmp_path / "v.npy", rng.standard_normal((300, 8)).astype(np.float32))
    return ["build", str(tmp_path / "v.npy"), str(tmp_path / "vol"), "--M", "4", "--Ks", "16", "--iter", "2"]


def test_a_build_works_within_it(tmp_path: Path, rng: np.random.Generator) -> None:
    (tmp_path / "vol").mkdir()
    before = identity(tmp_path / "vol")
    line = build_line(tmp_path, rng)
    assert main(line) == 0
    assert identity(tmp_path / "vol") == before
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["v.npy", "vol"]
    assert [entry.name for entry in (tmp_path / "vol").iterdir() if entry.name.startswith(".")] == []
    with pqstore.Index.open(tmp_path / "vol") as index:
        assert len(index) == 300
    assert main(line) == 2


@pytest.mark.parametrize("whole", [False, True])
def test_a_build_within_it_that_is_killed_goes_on(tmp_path: Path, rng: np.random.Generator, whole: bool) -> None:
    """Killed when it gives the index its name, and when it has given it."""
    (tmp_path / "vol").mkdir()
    line = build_line(tmp_path, rng)
    code = f"""
    import os, shutil, sys
    from pathlib import Path
    from pqstore.cli import main
    from pqstore.cli import unfinished
    place = unfinished.put_in_place
    def killed(*arguments):
        if {whole}:
            place(*arguments)
        os._exit(9)
    unfinished.put_in_place = killed
    main(sys.argv[1:])
    """
    died = subprocess.run([sys.executable, "-c", textwrap.dedent(code), *line], cwd=ROOT, check=False)
    assert died.returncode == 9
    assert main(line) == (2 if whole else 0)
    assert [entry.name for entry in (tmp_path / "vol").iterdir() if entry.name.startswith(".")] == []
    with pqstore.Index.open(tmp_path / "vol") as index:
        assert len(index) == 300


def test_a_mount_point(tmp_path: Path, rng: np.random.Generator) -> None:
    """create, bulk, backup, repair and build, each on a file system of its own."""
    line = build_line(tmp_path, rng)
    code = """
    import os, sys
    import numpy as np, pqstore
    from pqstore.cli import main
    X = np.load(sys.argv[2])
    pq = pqstore.PQ(M=4, Ks=16, verbose=False).fit(X, iter=1)
    with pqstore.Index.create("create", pq) as index:
        index.add(X)
        index.compact()
        index.backup("backup")
    with pqstore.Index.create("bulk", pq, bulk=True) as index:
        index.add(X)
    pqstore.Index.repair("backup", "repair")
    assert main(sys.argv[1:]) == 0
    for name in ("create", "bulk", "backup", "repair", "vol"):
        assert os.path.ismount(name)
        with pqstore.Index.open(name) as index:
            assert len(index) == 300
            assert index.verify(deep=True) == []
    """
    places = ["create", "bulk", "backup", "repair", "vol"]
    for place in places:
        (tmp_path / place).mkdir()
    mounts = " && ".join(f"mount -t tmpfs none {place}" for place in places)
    inside = ["unshare", "-m", "sh", "-c", f'{mounts} || exit 77; exec "$@"', "sh"]
    try:
        done = subprocess.run(
            [*inside, sys.executable, "-c", textwrap.dedent(code), *line],
            cwd=tmp_path,
            check=False,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
        )
    except FileNotFoundError:
        pytest.skip("there is no unshare here")
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip("nothing may be mounted here")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("code", "named"), [(errno.EROFS, ReadOnlyError), (errno.ENOSPC, StorageFullError)])
def test_a_file_system_that_takes_nothing(
    tmp_path: Path,
    create: Callable[..., Store],
    packing: RowPacking,
    monkeypatch: pytest.MonkeyPatch,
    code: int,
    named: type[Exception],
) -> None:
    """An empty directory on a read-only mount: create gave a raw OSError."""
    (tmp_path / "new").mkdir()
    with create(path=tmp_path / "source") as store:
        fill(store)

        def refuse(path: Path, *_: object, **__: object) -> None:
            raise OSError(code, os.strerror(code), str(path))

        monkeypatch.setattr(Path, "mkdir", refuse)
        for call in (
            lambda: create(path=tmp_path / "new"),
            lambda: create(path=tmp_path / "beside", bulk=True),
            lambda: store.backup(tmp_path / "new"),
            lambda: repair(tmp_path / "source", tmp_path / "new", lambda _: packing),
            store.compact,
        ):
            with pytest.raises(named):
                call()
        monkeypatch.undo()
        assert sorted(entry.name for entry in tmp_path.iterdir()) == ["new", "source"]
        assert store.verify(deep=True) == []
