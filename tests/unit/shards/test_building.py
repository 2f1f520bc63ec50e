"""Building: killed at every step, twice at once, beside what is missing, damaged or another's."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest

import pqstore
from pqstore import shards
from pqstore.errors import CorpusFileError, DocumentError, ForeignShardError, MissingShardError
from pqstore.shards.building import POINTS
from pqstore.storage.disk.crash_points import observe
from tests.forked import in_child


def killed_at(point: str, plan: shards.Plan, number: int, place: Path, scratch: Path) -> None:
    """Build a shard in a process that dies at a point."""

    def work() -> None:
        observe(lambda name: os.kill(os.getpid(), signal.SIGKILL) if name == point else None)
        shards.build_shard(plan, number, place, scratch=scratch, threads=1)

    assert in_child(work) != 0


@pytest.mark.parametrize("point", POINTS)
def test_a_killed_build_leaves_nothing_that_counts(point: str, begun, tmp_path: Path, same) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    built = [shards.build_shard(begun.plan, number, begun.place, scratch=scratch) for number in (0, 3)]
    killed_at(point, begun.plan, 1, begun.place, scratch)
    done = point == "shard manifest written"
    assert shards.missing_shards(begun.plan, begun.place) == ([2] if done else [1, 2])
    with pytest.raises(MissingShardError, match="are not built yet"):
        shards.commit(begun.plan, begun.place)
    with pytest.raises(MissingShardError, match="not committed yet"):
        shards.Collection.open(begun.place)
    directory = begun.place / f"shard-00001-{begun.plan.hash}"
    inode = directory.stat().st_ino if directory.exists() else None
    shards.build(begun.plan, begun.place, scratch=scratch, threads=1)
    if inode is not None:
        assert directory.stat().st_ino == inode, "what was whole is taken"
    assert [shards.build_shard(begun.plan, number, begun.place) for number in (0, 3)] == built
    shards.commit(begun.plan, begun.place)
    assert not list(begun.place.glob("*.unfinished-*"))
    assert not list(scratch.iterdir())
    with shards.Collection.open(begun.place) as collection:
        same(collection, k=10)
        same(collection, k=5, rerank=50)
        assert collection.verify(deep=True) == {}


def _build(plan: shards.Plan, number: int, place: Path, barrier) -> None:
    observe(lambda name: barrier.wait(60) if name == "shard copied" else None)
    shards.build_shard(plan, number, place, threads=1)


def test_two_attempts_at_the_same_moment(begun, same) -> None:
    """Both have copied their shard when the first one renames it."""
    context = multiprocessing.get_context("fork")
    for number in range(4):
        barrier = context.Barrier(2)
        attempts = [context.Process(target=_build, args=(begun.plan, number, begun.place, barrier)) for _ in range(2)]
        for attempt in attempts:
            attempt.start()
        for attempt in attempts:
            attempt.join(120)
            assert attempt.exitcode == 0
    shards.commit(begun.plan, begun.place)
    assert not list(begun.place.glob("*.unfinished-*"))
    with shards.Collection.open(begun.place) as collection:
        same(collection, k=10)
        assert collection.verify(deep=True) == {}


def test_a_late_attempt_finds_all_committed(begun) -> None:
    """Another attempt has finished, and its commit has removed what this one was copying to."""

    def remove(name: str) -> None:
        if name == "shard verified":
            observe(None)
            shards.build(begun.plan, begun.place)
            shards.commit(begun.plan, begun.place)

    observe(remove)
    try:
        manifest = shards.build_shard(begun.plan, 2, begun.place)
    finally:
        observe(None)
    with shards.Collection.open(begun.place) as collection:
        assert collection.manifest.shards[2].uuid == manifest.uuid
        assert len(collection) == len(begun.vectors)


def test_what_lies_in_the_place_of_a_shard_is_looked_at(begun, tmp_path: Path) -> None:
    shards.build_shard(begun.plan, 0, begun.place)
    first, second = (begun.place / f"shard-{number:05d}-{begun.plan.hash}" for number in (0, 1))
    other = pqstore.Index.create(second, pqstore.PQ(M=4, Ks=8, verbose=False).fit(begun.vectors))
    other.add(begun.vectors[:500])
    other.close()
    with pytest.raises(ForeignShardError, match="remove it, and build again"):
        shards.build_shard(begun.plan, 1, begun.place)
    shutil.rmtree(second)
    shutil.copytree(first, second)
    data = next(second.rglob("data.mdb"))
    with data.open("r+b") as stream:
        stream.seek(data.stat().st_size // 2)
        stream.write(bytes(8192))
    with pytest.raises(pqstore.PQStoreError):
        shards.build_shard(begun.plan, 1, begun.place)
    shutil.rmtree(second)
    second.mkdir()
    with pytest.raises(pqstore.PQStoreError):
        shards.build_shard(begun.plan, 1, begun.place)
    second.rmdir()
    assert shards.build_shard(begun.plan, 1, begun.place).rows == 500


def test_a_plan_and_a_recipe_belong_together(begun, tmp_path: Path) -> None:
    other = shards.plan(Path(begun.plan.root) / "vectors.npy", 700)
    with pytest.raises(ForeignShardError, match="is built by plan"):
        shards.build_shard(other, 0, begun.place)
    with pytest.raises(ForeignShardError, match="is built by plan"):
        shards.commit(other, begun.place)
    with pytest.raises(MissingShardError, match="no quantizer yet"):
        shards.build_shard(begun.plan, 0, tmp_path / "nothing")
    with pytest.raises(ValueError, match="shards 0 to 3, got 4"):
        shards.build_shard(begun.plan, 4, begun.place)


def test_a_damaged_quantizer_is_refused(begun) -> None:
    path = next(begun.place.glob("quantizer-*.npz"))
    pqstore.PQ(M=4, Ks=32, verbose=False).fit(begun.vectors + 1, iter=1).save(path)
    with pytest.raises(DocumentError, match="another quantizer than its name says"):
        shards.build_shard(begun.plan, 0, begun.place)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(pqstore.InvalidQuantizerError):
        shards.build_shard(begun.plan, 0, begun.place)


def test_bad_rows_leave_nothing(tmp_path: Path, begun) -> None:
    vectors = begun.vectors.copy()
    vectors[1700, 3] = np.nan
    np.save(tmp_path / "bad.npy", vectors)
    plan = shards.plan(tmp_path / "bad.npy", 500)
    shards.train(plan, pqstore.PQ.load(next(begun.place.glob("quantizer-*.npz"))), tmp_path / "bad")
    shards.build_shard(plan, 0, tmp_path / "bad")
    before = sorted(path.name for path in (tmp_path / "bad").iterdir())
    with pytest.raises(pqstore.InvalidVectorError):
        shards.build_shard(plan, 3, tmp_path / "bad")
    assert sorted(path.name for path in (tmp_path / "bad").iterdir()) == before
    (tmp_path / "bad.npy").unlink()
    with pytest.raises((CorpusFileError, FileNotFoundError)):
        shards.build_shard(plan, 1, tmp_path / "bad")
