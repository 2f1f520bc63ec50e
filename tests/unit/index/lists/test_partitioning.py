"""`Index.partition`: what it makes, what it refuses, and that it goes on where it was interrupted."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pqstore
from pqstore.index.lists import partitioning
from pqstore.index.lists.assigning import PartitionAssigner
from pqstore.index.lists.partitioning import automatic_partitions
from pqstore.storage import SnapshotLists
from pqstore.storage.disk import crash_points
from tests.unit.index.listed import assert_all_lists_are_flat, small_segments

D = 32


class StoppedError(Exception):
    """By the test."""


@pytest.fixture
def pq() -> pqstore.PQ:
    return pqstore.PQ(M=32, Ks=32, verbose=False).fit(vectors(200), iter=2)


def vectors(n: int) -> np.ndarray:
    return np.random.default_rng(n).standard_normal((n, D)).astype(np.float32)


@pytest.mark.parametrize(
    ("rows", "partitions"),
    [
        (1, 1),
        (20, 2),
        (1000, 125),
        (10_000, 256),
        (400_000, 4096),
        (10**7, 32_768),
        (5 * 10**7, 65_536),
        (10**9, 65_536),
    ],
)
def test_automatic_partitions(rows: int, partitions: int) -> None:
    assert automatic_partitions(rows) == partitions


@pytest.mark.parametrize("kind", ["PQ", "OPQ"])
@pytest.mark.parametrize("metric", ["l2", "dot", "cosine"])
def test_lists_find_most_of_what_a_flat_scan_finds(tmp_path: Path, kind: str, metric: Any) -> None:
    rng = np.random.default_rng(1)
    centres = rng.standard_normal((60, D)) * 2
    made = (centres[rng.integers(0, 60, 8000)] + rng.standard_normal((8000, D))).astype(np.float32)
    if kind == "PQ":
        quantizer: Any = pqstore.PQ(M=32, Ks=32, metric=metric, verbose=False).fit(made[:500], iter=3)
    else:
        quantizer = pqstore.OPQ(M=32, Ks=32, metric=metric, verbose=False).fit(made[:500], pq_iter=2, rotation_iter=2)
    with small_segments(256), pqstore.Index.create(tmp_path / "index", quantizer) as index:
        index.add(made)
        flat = index.search(made[:50], 10)
        report = index.partition(64)
        assert (report.partitions, report.trained_on) == (64, 4096)
        assert str(report) == f"{report.rows:,} rows in 64 lists of {report.rows / 64:,.0f} in the mean"
        hits = index.search(made[:50], 10, nprobe=16, explain=True)
        assert hits.plan is not None
        assert hits.plan.method == "lists"
        assert hits.plan.lists is not None
        assert hits.plan.lists.lists_read == 16
        assert 500 < hits.plan.lists.rows_read < 5000
        found = np.mean([len(set(a) & set(b)) for a, b in zip(hits.ids.tolist(), flat.ids.tolist(), strict=True)])
        assert found > 9
        for nprobe in ("all", 64, 1000):
            ids, distances = index.search(made[:50], 10, nprobe=nprobe)
            np.testing.assert_array_equal(ids, flat.ids)
            np.testing.assert_array_equal(distances, flat.distances)
        assert assert_all_lists_are_flat(index, made[:50], 10)


def test_bad_input(tmp_path: Path, pq: pqstore.PQ) -> None:
    with pqstore.Index.create(tmp_path / "index", pq) as index:
        index.add(vectors(50))
        for partitions, error, match in (
            (0, ValueError, "at least 1, got 0"),
            (-1, ValueError, "at least 1, got -1"),
            (65_537, ValueError, "at most 65,536, got 65,537"),
            (51, pqstore.TrainingError, "51 partitions need at least as many vectors, and the index has 50"),
            (1.5, TypeError, "must be an integer, got float"),
            (True, TypeError, "got a bool"),
            ("many", ValueError, "'auto' or None, got 'many'"),
        ):
            with pytest.raises(error, match=match):
                index.partition(partitions)
        with pytest.raises(ValueError, match="sample must be at least 1"):
            index.partition(5, sample=0)
        for nprobe, scan, match in ((3, None, "nprobe says how much"), (None, 10, "scan says how much")):
            with pytest.raises(ValueError, match=f"{match} of the lists to read, and this index has none"):
                index.search(vectors(1), 1, nprobe=nprobe, scan=scan)
        assert index.search(vectors(1), 1, nprobe="all").ids.shape == (1, 1)
        index.partition(5, sample=20)
        for wrong, error, match in (
            ({"nprobe": 0}, ValueError, "nprobe must be at least 1"),
            ({"nprobe": -3}, ValueError, "nprobe must be at least 1"),
            ({"nprobe": "some"}, TypeError, "a number of lists, 'all' or None, got 'some'"),
            ({"nprobe": True}, TypeError, "got True"),
            ({"scan": 0}, ValueError, "scan must be at least 1"),
            ({"scan": True}, TypeError, "scan must be a number of rows or None, got a bool"),
            ({"scan": 2.0}, TypeError, "scan must be an integer"),
            ({"nprobe": "all", "scan": 5}, ValueError, "leave out scan"),
        ):
            with pytest.raises(error, match=match):
                index.search(vectors(1), 1, **wrong)
        every = index.search(vectors(1), 50, nprobe="all").ids
        for most in ({"nprobe": 10**30}, {"scan": 10**30}, {"nprobe": 10**30, "scan": 10**30}):
            np.testing.assert_array_equal(index.search(vectors(1), 50, **most).ids, every)
        far = np.full((1, D), 1e15, dtype=np.float32)
        ids, _ = index.search(far, 50, nprobe=1)
        assert sorted(ids[0]) == list(range(50))
        assert index.verify(deep=True) == []
    with pqstore.Index.open(tmp_path / "index", readonly=True) as index, pytest.raises(pqstore.ReadOnlyError):
        index.partition(5)


def test_an_empty_index_cannot_be_partitioned(tmp_path: Path, pq: pqstore.PQ) -> None:
    with pqstore.Index.create(tmp_path / "index", pq) as index:
        for partitions in ("auto", 1):
            with pytest.raises(pqstore.TrainingError, match="the index has 0"):
                index.partition(partitions)
        assert index.partition(None).partitions == 0


def test_without_lists_an_index_is_what_it_was(tmp_path: Path, pq: pqstore.PQ) -> None:
    """Dropping lists leaves no record of them, and no feature."""
    with small_segments(), pqstore.Index.create(tmp_path / "index", pq) as index:
        index.add(vectors(600))

        def features() -> tuple[str, ...]:
            from pqstore.storage.format import records
            from pqstore.storage.format.state import Identity

            with index._store.read() as snapshot:
                return Identity.unpack(snapshot.records.get("meta", records.IDENTITY_KEY)).features

        before = features()
        index.partition(4)
        assert features() == (*before, "lists")
        index.partition(None)
        assert features() == before
        with index._store.read() as snapshot:
            assert snapshot.records.keys("runs") == []
            assert snapshot.records.keys("runchunks") == []
            assert b"lists" not in snapshot.records.keys("meta")
        assert index.verify(deep=True) == []


@pytest.mark.parametrize("point", ["list table written", "list run written", "list merge step done", "lists switched"])
def test_an_interrupted_call_is_gone_on_with(
    tmp_path: Path, pq: pqstore.PQ, point: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Searches read what there was before until all is done; the table is not trained again."""

    def stop(name: str) -> None:
        if name == point:
            raise StoppedError

    with small_segments(), pqstore.Index.create(tmp_path / "index", pq) as index:
        index.add(vectors(900))
        index.partition(3)
        crash_points.observe(stop)
        try:
            with pytest.raises(StoppedError):
                index.partition(7)
        finally:
            crash_points.observe(None)
        assert index.verify(deep=True) == []
        index.add(vectors(150))
        assert index.verify(deep=True) == []
        with index._read() as reading:
            assert len(SnapshotLists(reading.snapshot).read().table.stored) == 3
        if point != "list table written":
            monkeypatch.setattr(partitioning, "_trained", None)
        report = index.partition(7)
        assert report.partitions == 7
        with index._read() as reading:
            assert len(SnapshotLists(reading.snapshot).read().table.stored) == 7
            assert len(SnapshotLists(reading.snapshot).read().lists.runs) == 1
        assert index.verify(deep=True) == []
        assert assert_all_lists_are_flat(index, vectors(5), 10)


def test_cleared_and_compacted(tmp_path: Path, pq: pqstore.PQ) -> None:
    """Lists of nothing but dead rows go; the table stays, for rows to come."""
    with small_segments(), pqstore.Index.create(tmp_path / "index", pq) as index:
        index.add(vectors(900))
        index.partition(4)
        index.clear()
        assert index.search(vectors(2), 3, nprobe=2).ids.tolist() == [[-1] * 3] * 2
        index.compact()
        lists = index.stats().lists
        assert (lists.partitions, lists.runs, lists.listed_rows) == (4, 0, 0)
        assert index.verify(deep=True) == []
        index.add(vectors(900))
        assert index.stats().lists.listed_rows == 7 * 128
        assert index.verify(deep=True) == []
        assert assert_all_lists_are_flat(index, vectors(3), 10)


def test_progress(tmp_path: Path, pq: pqstore.PQ) -> None:
    steps: list[Any] = []
    with small_segments(), pqstore.Index.create(tmp_path / "index", pq) as index:
        index.add(vectors(900))
        index.partition(4, progress=steps.append)
        assert {step.stage for step in steps} == {"lists"}
        done = [step.done for step in steps]
        assert done == sorted(done)
        assert all(step.total == 896 for step in steps)
        assert done[-1] == 896

        def stop(step: Any) -> None:
            raise StoppedError

        with pytest.raises(StoppedError):
            index.partition(8, progress=stop)
        assert index.stats().lists.partitions == 4
        index.partition(8)
        assert index.verify(deep=True) == []


def test_beside_a_writer(tmp_path: Path, pq: pqstore.PQ) -> None:
    """Another thread adds and removes all the time: nothing of it is lost, and all of it is found."""
    with small_segments(), pqstore.Index.create(tmp_path / "index", pq) as index:
        index.add(vectors(600))
        ended = threading.Event()
        kept: list[int] = []

        def write() -> None:
            rng = np.random.default_rng(2)
            while not ended.is_set() and len(kept) < 4000:
                ids = index.add(vectors(40)).tolist()
                gone = rng.choice(ids, 5, replace=False).tolist()
                index.remove(gone)
                kept.extend(set(ids) - set(gone))

        writer = threading.Thread(target=write)
        writer.start()
        try:
            for partitions in (4, 9, None, 16):
                index.partition(partitions)
                if partitions is not None:
                    assert assert_all_lists_are_flat(index, vectors(3), 10)
        finally:
            ended.set()
            writer.join()
        assert set(index) == {*range(600), *kept}
        assert index.verify(deep=True) == []
        assert assert_all_lists_are_flat(index, vectors(3), 10)


def test_beside_readers_and_another_handle(tmp_path: Path, pq: pqstore.PQ) -> None:
    """A snapshot keeps the lists it began with; another handle finds the new ones, and its rows get into them."""
    with small_segments(), pqstore.Index.create(tmp_path / "index", pq) as index:
        index.add(vectors(900))
        index.partition(4)
        other = pqstore.Index.open(tmp_path / "index")
        with index.snapshot() as view:
            before = view.search(vectors(5), 10, nprobe=1)
            other.partition(16)
            other.remove(range(0, 900, 2))
            other.compact()
            np.testing.assert_array_equal(view.search(vectors(5), 10, nprobe=1).ids, before.ids)
            assert assert_all_lists_are_flat(view, vectors(5), 10)
        other.add(vectors(400))
        for handle in (index, other):
            with handle._read() as reading:
                assert len(SnapshotLists(reading.snapshot).read().table.stored) == 16
            assert assert_all_lists_are_flat(handle, vectors(5), 10)
        other.close()
        assert index.verify(deep=True) == []


def test_two_handles_partition_at_once(tmp_path: Path, pq: pqstore.PQ) -> None:
    """Who comes second gives up what the first has begun; both return, and the lists are those of one of them."""
    with small_segments(), pqstore.Index.create(tmp_path / "index", pq) as index:
        index.add(vectors(2000))
        reports: list[Any] = []

        def make(partitions: int) -> None:
            with pqstore.Index.open(index.path) as other:
                reports.append(other.partition(partitions))

        threads = [threading.Thread(target=make, args=(partitions,)) for partitions in (8, 13)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert {report.partitions for report in reports} == {8, 13}
        assert index.stats().lists.partitions in (8, 13)
        assert index.stats().lists.listed_rows == 15 * 128
        assert index.verify(deep=True) == []
        assert assert_all_lists_are_flat(index, vectors(3), 10)


def test_another_handle_comes_while_rows_are_assigned(
    tmp_path: Path, pq: pqstore.PQ, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a handle has assigned is put into its lists, though another one now says to which partitions rows belong."""
    with small_segments(), pqstore.Index.create(tmp_path / "index", pq) as index:
        index.add(vectors(2000))
        assign, came = PartitionAssigner.__call__, []

        def interrupted(self: PartitionAssigner, *arguments: Any) -> Any:
            made = assign(self, *arguments)
            if not came:
                came.append(pqstore.Index.open(index.path))
                came[0]._store.assign_with(PartitionAssigner(came[0]._coded()))
            return made

        monkeypatch.setattr(PartitionAssigner, "__call__", interrupted)
        index.partition(8)
        assert index.stats().lists.listed_rows == 15 * 128
        came[0].close()
        assert index.verify(deep=True) == []
        assert assert_all_lists_are_flat(index, vectors(3), 10)


def test_around_given_centroids(tmp_path: Path, pq: pqstore.PQ) -> None:
    """Two indexes have the same lists: a row belongs to the nearest of the centroids in both."""
    with (
        small_segments(),
        pqstore.Index.create(tmp_path / "index", pq) as index,
        pqstore.Index.create(tmp_path / "other", pq) as other,
    ):
        index.add(vectors(900))
        other.add(vectors(900)[:500])
        centroids = np.ascontiguousarray(index.quantizer.decode(index.codes([3, 50, 700, 801])))
        for each in (index, other):
            report = each.partition(centroids)
            assert (report.partitions, report.trained_on) == (4, 0)
            assert assert_all_lists_are_flat(each, vectors(5), 10)
            with each._read() as reading:
                stored = SnapshotLists(reading.snapshot).read().table
                np.testing.assert_allclose(np.ldexp(stored.stored.astype(float), stored.exponent), centroids, atol=0.01)
        for wrong, error in (
            (centroids[:, :-1], pqstore.DimensionError),
            (centroids * np.nan, pqstore.InvalidVectorError),
            (centroids[:0], ValueError),
            (np.repeat(centroids, 20_000, axis=0), ValueError),
        ):
            with pytest.raises(error):
                index.partition(wrong)
        assert index.verify(deep=True) == []
