"""A disk that takes no more: `StorageFullError`, and the index as before the call."""

from __future__ import annotations

import resource
import subprocess
from collections.abc import Iterator
from copy import copy
from pathlib import Path

import numpy as np
import pytest

import pqstore
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


@pytest.mark.parametrize("phase", ["exact", "codes"])
def test_full_in_the_middle_of_a_training(tmp_path: Path, phase: str) -> None:
    """At several sizes of the largest file: the index is what it was, says so, and is trained when there is room."""
    vectors = np.random.default_rng(3).standard_normal((5000, 32)).astype(np.float32)
    wish = pqstore.PQ(M=16, Ks=64, verbose=False)
    path, twin = tmp_path / "index.pqs", tmp_path / "twin.pqs"
    with pqstore.Index.create(path, wish, dim=32, originals="float32", train="manual") as index:
        index.add(vectors)
        if phase == "codes":
            index.train()
            index.partition(3)
        expected = index.search(vectors[:30], k=4, rerank=0)
        index.backup(twin)
    with pqstore.Index.open(twin) as index:
        train(index)
        made = max(file.stat().st_size for file in twin.rglob("*") if file.is_file())

    def work(limit: int) -> None:
        with pqstore.Index.open(path) as index:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
            with pytest.raises(StorageFullError):
                train(index)
            assert [entry.name for entry in path.iterdir() if "rebuilding" in entry.name] == []
            assert (index.phase, len(index), index.verify(deep=True)) == (phase, 5000, [])
            found = index.search(vectors[:30], k=4, rerank=0)
            assert found.distances.tobytes() == expected.distances.tobytes()
            assert (index.stats().lists is not None) == (phase == "codes")
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            if limit == limits[-1]:
                train(index)
                assert (index.phase, index.quantizer.M, len(index)) == ("codes", 8, 5000)
                assert index.verify(deep=True) == []

    limits = [20_000, made // 3, made * 2 // 3, made * 19 // 20]
    for limit in limits:
        assert in_child(lambda limit=limit: work(limit)) == 0


def train(index: pqstore.Index) -> None:
    quantizer = pqstore.PQ(M=8, Ks=64, verbose=False)
    index.retrain(quantizer) if index.phase == "codes" else index.train(quantizer)


def test_an_add_that_trains_on_a_full_disk_is_stored(small_disk: Path) -> None:
    """There is room for the vectors, and none for a second copy of them."""
    path = small_disk / "index.pqs"
    vectors = np.random.default_rng(4).standard_normal((6000, 64)).astype(np.float32)
    wish = pqstore.PQ(M=32, Ks=16, verbose=False)
    with pqstore.Index.create(path, wish, dim=64, originals="float32", train_at=4500) as index:
        for start in range(0, 4500, 500):
            index.add(vectors[start : start + 500])
        assert (index.phase, len(index)) == ("exact", 4500)
        assert any("StorageFullError" in fault for fault in index.stats().faults)
        assert index.search(vectors[4499], k=1).ids.tolist() == [4499]
        assert index.verify(deep=True) == []
        index.remove(range(4000))
        index.compact()
        index.add(vectors[4500:4501])
        index.train()
        assert (index.phase, len(index)) == ("codes", 501)
