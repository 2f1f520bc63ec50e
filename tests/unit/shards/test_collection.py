"""Collections: shards that are missing, damaged or another's; changes that are killed, and what readers see of them."""

from __future__ import annotations

import os
import pickle
import shutil
import signal
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest

import pqstore
from pqstore import shards
from pqstore.errors import (
    DocumentError,
    DuplicateIdError,
    ForeignShardError,
    MissingShardError,
    NetworkFileSystemError,
    PartialChangeError,
)
from pqstore.shards import file_system
from pqstore.storage.disk.crash_points import observe
from tests.forked import in_child


def shard_of(made, number: int) -> Path:
    return made.place / f"shard-{number:05d}-{made.plan.hash}"


def test_a_missing_shard_is_named(collection) -> None:
    shutil.rmtree(shard_of(collection, 2))
    with pytest.raises(MissingShardError, match="shard 2 of the collection is missing"):
        shards.Collection.open(collection.place)


def test_a_damaged_shard_is_named(collection) -> None:
    data = next(shard_of(collection, 1).rglob("data.mdb"))
    data.write_bytes(bytes(data.stat().st_size))
    with pytest.raises(pqstore.CorruptIndexError, match="shard-00001"):
        shards.Collection.open(collection.place)


def test_the_shard_of_another_is_refused(collection, tmp_path: Path) -> None:
    """Of another place in the same collection; of another build of the same plan; of another quantizer."""
    kept = tmp_path / "kept"
    shutil.move(shard_of(collection, 1), kept)
    shutil.copytree(shard_of(collection, 0), shard_of(collection, 1))
    with pytest.raises(ForeignShardError, match="its UUID is"):
        shards.Collection.open(collection.place)
    shutil.rmtree(shard_of(collection, 1))
    other = pqstore.PQ(M=4, Ks=32, verbose=False).fit(collection.vectors, seed=7)
    with pqstore.Index.create(shard_of(collection, 1), other, originals="float16") as index:
        index.add(collection.vectors[500:1000], np.arange(500, 1000))
    with pytest.raises(ForeignShardError, match="its quantizer is"):
        shards.Collection.open(collection.place)
    shutil.rmtree(shard_of(collection, 1))
    shutil.move(kept, shard_of(collection, 1))
    shards.Collection.open(collection.place).close()


def test_what_is_no_collection_is_said(begun, tmp_path: Path) -> None:
    for place in (begun.place, tmp_path / "nothing"):
        with pytest.raises(MissingShardError, match="not committed yet"):
            shards.Collection.open(place)
    (begun.place / "collection.json").write_text("{}")
    with pytest.raises(DocumentError):
        shards.Collection.open(begun.place)
    with pytest.raises(TypeError, match=r"use Collection\.open"):
        shards.Collection(begun.place)


def test_a_network_is_refused(collection, tmp_path: Path, monkeypatch) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        "22 1 8:1 / / rw,relatime - ext4 /dev/sda rw\n"
        f"23 22 0:50 / {collection.place} rw shared:1 - nfs4 server:/x rw\n"
    )
    monkeypatch.setattr(file_system.file_system_of, "__defaults__", (mounts,))
    monkeypatch.setattr(file_system.is_of_network, "__defaults__", (mounts,))
    with pytest.raises(NetworkFileSystemError, match=r"nfs4, a file system of a network.*fetch\(\)"):
        shards.Collection.open(collection.place)
    shards.fetch(collection.place, tmp_path / "copy")  # whole files, by their checksums
    with shards.Collection.open(tmp_path / "copy") as copy:
        assert len(copy) == len(collection.vectors)
    originals = next(shard_of(collection, 1).rglob("segment-*"))
    originals.write_bytes(originals.read_bytes()[:-1] + b"\0")
    with pytest.raises(ForeignShardError, match="not what the manifest of the shard says"):
        shards.fetch(collection.place, tmp_path / "second")
    assert not (tmp_path / "second" / "collection.json").exists()


def test_a_copy_goes_on_where_it_stopped(collection, tmp_path: Path, same) -> None:
    shards.fetch(collection.place, tmp_path / "copy")
    shutil.rmtree(tmp_path / "copy" / shard_of(collection, 3).name)
    kept = (tmp_path / "copy" / shard_of(collection, 1).name).stat().st_ino
    shards.fetch(collection.place, tmp_path / "copy")
    assert (tmp_path / "copy" / shard_of(collection, 1).name).stat().st_ino == kept
    with shards.Collection.open(tmp_path / "copy") as copy:
        same(copy, k=10, rerank=20)


def test_it_pickles_as_its_path_and_closes(committed) -> None:
    opened = shards.Collection.open(committed.place, readonly=True)
    with pickle.loads(pickle.dumps(opened)) as again:
        assert again.path == opened.path
    assert "4 shards, 2,000 vectors" in repr(opened)
    opened.close()
    opened.close()
    with pytest.raises(pqstore.IndexClosedError):
        opened.search(committed.vectors[0])
    assert "closed" in repr(opened)


def test_bad_arguments_change_nothing(collection) -> None:
    with shards.Collection.open(collection.place) as many:
        good = collection.vectors[:2]
        for arguments, error in [
            ((good, None), pqstore.InvalidIdError),
            ((good, [1]), pqstore.DimensionError),
            ((good, [5000, 5000]), DuplicateIdError),
            ((good, [5000, 7]), DuplicateIdError),
            ((good * np.nan, [5000, 5001]), pqstore.InvalidVectorError),
            ((good[:, :3], [5000, 5001]), pqstore.DimensionError),
            ((good, [5000, 5001], "maybe"), ValueError),
            ((good, ["a", "b"]), pqstore.InvalidIdError),
        ]:
            with pytest.raises(error):
                many.add(*arguments)
        with pytest.raises(pqstore.InvalidPayloadError):
            many.add(good, [5000, 5001], payloads=[{"a": 1}, {"a": object()}])
        with pytest.raises(pqstore.UnknownIdError, match="in no shard"):
            many.remove([3, 5000])
        with pytest.raises(pqstore.UnknownIdError, match="in no shard"):
            many.get([3, 5000])
        with pytest.raises(ValueError, match="rerank must be at least k"):
            many.search(good, k=10, rerank=5)
        with pytest.raises(TypeError, match="rerank"):
            many.search(good, rerank="auto")
        assert len(many) == 2000
        assert 3 in many
        assert many.verify(deep=True) == {}


def test_a_reader_that_is_open_sees_a_new_shard(collection) -> None:
    with shards.Collection.open(collection.place) as writer, shards.Collection.open(collection.place, True) as reader:
        assert writer.add_shard() == 4
        many = np.arange(3000, 3400)
        writer.add(collection.vectors[:400] + 0.5, many)
        assert len(reader) == 2400
        assert {record.id for record in reader.get(many)} == set(many.tolist())
        assert writer.stats()[4].vectors > 20
        assert reader.manifest.placement == "anywhere"
        assert writer.rebalance() > 500
        assert len(reader) == 2400
        assert reader.manifest.placement == "by hash"
        assert reader.verify(deep=True) == {}
        with pytest.raises(pqstore.ReadOnlyError):
            reader.remove([1])


MOMENTS = ("before commit", "after commit", "shard of several committed", "segment sealed")


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("which", [1, 2])
def test_a_killed_change_is_whole_in_each_shard_and_made_whole_again(moment: str, which: int, collection) -> None:
    ids = np.concatenate((np.arange(0, 2000, 9), np.arange(4000, 4200)))
    vectors = np.random.default_rng(1).integers(0, 5, (len(ids), 16)).astype(np.float32)
    seen = [0]

    def die(name: str) -> None:
        seen[0] += name == moment
        if name == moment and seen[0] == which:
            os.kill(os.getpid(), signal.SIGKILL)

    def work() -> None:
        with shards.Collection.open(collection.place) as many:
            observe(die)
            many.upsert(vectors, ids)

    in_child(work)
    with shards.Collection.open(collection.place) as many:
        assert many.verify(deep=True) == {}, "no id in two shards"
        many.upsert(vectors, ids)
        assert many.verify(deep=True) == {}
        assert len(many) == 2200
        found = many.get(ids, include="vector")
        assert np.array_equal(np.stack([record.vector for record in found]), vectors)


@pytest.mark.parametrize("which", [1, 2, 3, 5])
def test_a_killed_rebalance_goes_on(which: int, collection, same) -> None:
    """Between two commits of a step rows are in two shards: answers count them once."""
    seen = [0]

    def die(name: str) -> None:
        seen[0] += name == "shard of several committed"
        if seen[0] == which:
            os.kill(os.getpid(), signal.SIGKILL)

    def work() -> None:
        with shards.Collection.open(collection.place) as many:
            observe(die)
            many.rebalance()

    assert in_child(work) != 0
    with shards.Collection.open(collection.place) as many:
        same(many, k=50)
        same(many, k=10, rerank=60)
        same(many, k=2000)
        same(many, k=50, deny=[3, 4, 5])
        moved = many.rebalance()
        assert moved > 0
        assert many.verify(deep=True) == {}
        assert len(many) == 2000
        same(many, k=50, rerank=100)
        many.rebalance()
        assert many.manifest.placement == "by hash"


def test_a_commit_that_fails_after_others_names_the_shards(collection) -> None:
    class FullError(Exception):
        pass

    def fail(name: str) -> None:
        if name == "before commit" and committed:
            raise FullError("no room")
        if name == "shard of several committed":
            committed.append(name)

    committed: list = []
    with shards.Collection.open(collection.place) as many:
        observe(fail)
        try:
            with pytest.raises(PartialChangeError, match=r"have stored the change, shard . could not") as failure:
                many.remove(list(range(0, 2000, 100)))
        finally:
            observe(None)
        assert failure.value.changed == (0,)
        assert failure.value.unchanged == (1, 2, 3)
        assert [id in many for id in (0, 400, 500, 1900)] == [False, False, True, True]
        assert many.remove(list(range(0, 2000, 100)), missing="ignore") == 15
        assert many.verify(deep=True) == {}


def test_readers_see_all_of_a_change_of_several_shards_or_nothing(collection) -> None:
    """A writer moves a mark over all shards; every answer has the marks of one moment."""
    ids = [100, 600, 1100, 1600]
    stop = threading.Event()
    failures: list = []

    def read() -> None:
        with shards.Collection.open(collection.place, readonly=True) as many:
            while not stop.is_set():
                marks = {record.payload["mark"] for record in many.get(ids)}
                if len(marks) != 1:
                    failures.append(marks)

    with shards.Collection.open(collection.place) as many:
        many.upsert(collection.vectors[:4], ids, payloads=[{"mark": -1}] * 4)
        readers = [threading.Thread(target=read) for _ in range(2)]
        for reader in readers:
            reader.start()
        for mark in range(25):
            many.upsert(collection.vectors[:4], ids, payloads=[{"mark": mark}] * 4)
        stop.set()
        for reader in readers:
            reader.join(60)
    assert failures == []


def test_writers_in_other_processes_take_turns(collection) -> None:
    def write(first: int) -> None:
        with shards.Collection.open(collection.place) as many:
            for step in range(5):
                many.add(collection.vectors[:20], range(first + 20 * step, first + 20 * step + 20))

    def grow() -> None:
        with shards.Collection.open(collection.place) as many:
            many.add_shard()
            many.rebalance()

    workers = [
        threading.Thread(target=lambda work=work, at=at: results.append(in_child(lambda: work(*at))))
        for work, at in [(write, (5000,)), (write, (6000,)), (grow, ())]
    ]
    results: list = []
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
    assert results == [0, 0, 0]
    with shards.Collection.open(collection.place) as many:
        assert len(many) == 2200
        many.rebalance()
        assert many.verify(deep=True) == {}


def test_a_filter_warns_when_no_shard_has_such_values(tmp_path: Path, collection) -> None:
    with shards.Collection.open(collection.place) as many:
        many.upsert(collection.vectors[:4], [100, 600, 1100, 1600], payloads=[{"n": n} for n in (1, 2, 3, "four")])
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert many.search(collection.vectors[0], where={"n": "four"}).ids[0] == 1600
        many.upsert(collection.vectors[3], 1600, payloads=[{"n": 4}])
        with pytest.warns(pqstore.FilterKindWarning):
            assert many.count({"n": "four"}) == 0


def test_strings_are_paged_shard_by_shard(tmp_path: Path) -> None:
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    vectors = np.random.default_rng(2).random((300, 8), dtype=np.float32)
    table = arrow.table({"id": [f"name/{n}" for n in range(300)], "vector": list(vectors)})
    parquet.write_table(table, tmp_path / "x.parquet", row_group_size=30)
    plan = shards.plan(tmp_path / "x.parquet", 100)
    shards.train(plan, pqstore.PQ(M=4, Ks=16, verbose=False), tmp_path / "x.pqc")
    shards.build(plan, tmp_path / "x.pqc")
    shards.commit(plan, tmp_path / "x.pqc")
    with shards.Collection.open(tmp_path / "x.pqc") as many:
        for limit in (1, 7, 100, 299, 300, 400):
            found, after = [], None
            while True:
                page = many.scroll(limit=limit, after=after)
                found += [record.id for record in page.records]
                after = page.after
                if after is None:
                    break
                assert len(page.records) == limit
            assert sorted(found) == sorted(f"name/{n}" for n in range(300))
        for wrong in ("name/3", "x", 5, "/1"):
            with pytest.raises(ValueError, match="after must be"):
                many.scroll(after=wrong)
