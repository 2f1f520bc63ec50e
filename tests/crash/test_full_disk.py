"""A disk that takes no more: `StorageFullError`, and the index as before the call."""

from __future__ import annotations

import resource
import subprocess
from collections.abc import Iterator
from copy import copy
from pathlib import Path

import pytest

from pqstore.errors import StorageFullError
from pqstore.storage import Store
from tests.forked import in_child

from .workload import PACKING, apply, changes, check, contents, create


@pytest.mark.parametrize("limit", [150_000, 400_000, 1_000_000, 1_234_567])
def test_file_size_limit(tmp_path: Path, limit: int) -> None:
    path = tmp_path / "index.pqs"
    create(path).close()

    def work() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        with Store.open(path, lambda _: PACKING) as store:
            rows: dict[int, bytes] = {}
            for change, after in changes(11):
                try:
                    apply(store, change)
                except StorageFullError:
                    break
                rows = copy(after)
            with store.read() as snapshot:
                assert contents(snapshot) == rows
            assert store.verify(deep=True) == []
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            apply(store, change)  # with room again the same handle goes on
            rows = copy(after)
        check(path, rows)

    assert in_child(work) == 0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", place], check=False, capture_output=True)
    if made.returncode:
        pytest.skip("a small file system cannot be mounted here")
    yield place
    subprocess.run(["umount", place], check=True)


def test_small_file_system(small_disk: Path) -> None:
    path = small_disk / "index.pqs"
    create(path).close()
    with Store.open(path, lambda _: PACKING) as store:
        rows: dict[int, bytes] = {}
        for change, after in changes(11):
            try:
                apply(store, change)
            except StorageFullError:
                break
            rows = copy(after)
        with store.read() as snapshot:
            assert contents(snapshot) == rows
        assert store.verify(deep=True) == []
    check(path, rows)


def test_creation_on_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    def work() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (5000, resource.RLIM_INFINITY))
        with pytest.raises(StorageFullError):
            create(tmp_path / "index.pqs")
        assert not any(tmp_path.iterdir())

    assert in_child(work) == 0
