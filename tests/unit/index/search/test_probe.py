"""How much of the lists a search reads: by number, by rows, under filters, in transactions."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest

import pqstore
from pqstore.index.selection.select import select
from pqstore.index.selection.selection import Selection
from pqstore.kernels import active
from pqstore.storage import SnapshotLists
from pqstore.storage.disk.data_file import DataFile
from pqstore.storage.lists.list_runs import ListReader
from tests.unit.index.listed import search_all_lists, small_segments

D = 32


def vectors(n: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(5).standard_normal((30, D)) * 3
    return (centres[rng.integers(0, 30, n)] + rng.standard_normal((n, D))).astype(np.float32)


@pytest.fixture
def index(tmp_path: Path) -> Any:
    made = vectors(20_000)
    pq = pqstore.PQ(M=32, Ks=16, verbose=False).fit(made[:400], iter=2)
    with small_segments(512), pqstore.Index.create(tmp_path / "index", pq, fields=["n"]) as index:
        index.add(made, payloads=[{"n": n, "half": n % 2} for n in range(len(made))])
        index.partition(200)
        yield index


def test_by_default_lists_are_read_where_that_is_quicker(index: pqstore.Index) -> None:
    plan = index.search(vectors(7, 1), 10, explain=True).plan
    assert plan.method == "lists"
    assert plan.lists.budget == int(24 * 19_968**0.5)
    assert plan.lists.partitions == 200
    assert plan.lists.flat_rows == 20_000 - 19_968
    assert plan.lists.budget <= plan.lists.rows_read < plan.lists.budget + 2000
    assert 1 < plan.lists.lists_read < 100
    assert index.search(vectors(1, 1), 10, nprobe="all", explain=True).plan.method == "scan"
    index.remove(range(2000, 20_000))
    assert index.search(vectors(1, 1), 10, explain=True).plan.method == "scan"  # few rows: all of them are read sooner


def test_budgets(index: pqstore.Index) -> None:
    query = vectors(1, 2)
    for wanted, lists, rows in (
        ({"nprobe": 3}, (3, 3), (1, 5000)),
        ({"scan": 900}, (1, 60), (900, 3000)),
        ({"nprobe": 2, "scan": 19_000}, (2, 2), (1, 3000)),
        ({"nprobe": 150, "scan": 1}, (1, 1), (1, 1500)),
        ({"scan": 10**9}, (200, 200), (19_968, 19_968)),
    ):
        plan = index.search(query, 1, explain=True, **wanted).plan
        assert lists[0] <= plan.lists.lists_read <= lists[1], wanted
        assert rows[0] <= plan.lists.rows_read <= rows[1], wanted


def test_never_fewer_than_there_are(index: pqstore.Index) -> None:
    """Lists that hold fewer than k rows are not the end."""
    ids, distances = index.search(vectors(3, 3), 15_000, nprobe=1)
    assert np.isfinite(distances).all()
    assert all(len(set(row)) == 15_000 for row in ids.tolist())
    for where, count in (({"n": {"$lt": 5}}, 5), ({"n": {"$lt": 600}, "half": 1}, 300)):
        ids, distances = index.search(vectors(3, 3), 1000, nprobe=1, where=where)
        assert np.isfinite(distances).sum(axis=1).tolist() == [count] * 3


@pytest.mark.parametrize("where", [{"half": 1}, {"n": {"$lt": 700}}, {"n": {"$gte": 19_900}}, {"n": -1}])
def test_filters(index: pqstore.Index, where: Any) -> None:
    """What lists find under a filter fulfils it; all lists find what a scan finds."""
    queries = vectors(4, 4)
    every = index.search(queries, 20, where=where, nprobe="all")
    some = index.search(queries, 20, where=where, nprobe=20, include="payload")
    with index._read() as reading:
        selection = select(reading, where)
        distances, rows = search_all_lists(reading, queries, 20, selection)
        np.testing.assert_array_equal(distances, every.distances)
        np.testing.assert_array_equal(reading.snapshot.ids_of(rows), every.ids)
    count = index.count(where)
    for payloads in some.payloads:
        assert len([payload for payload in payloads if payload is not None]) == min(20, count)
        for payload in filter(None, payloads):
            assert payload["half"] == 1 or "half" not in where
    by_default = index.search(queries, 20, where=where, explain=True)
    assert by_default.plan.method == {0: "empty", 100: "gather", 700: "gather", 10_000: "lists"}[count]


def test_a_filter_that_follows_the_clusters(tmp_path: Path) -> None:
    """Allowed is what lies in one corner, asked from everywhere: the nearest lists hold nothing of it."""
    made = vectors(20_000)
    centres = np.random.default_rng(5).standard_normal((30, D)) * 3
    corner = np.argmin(((made[:, None] - centres) ** 2).sum(axis=2), axis=1) < 2
    corner |= np.random.default_rng(1).random(len(made)) < 0.003  # and some that lie elsewhere
    pq = pqstore.PQ(M=32, Ks=16, verbose=False).fit(made[:400], iter=2)
    with small_segments(512), pqstore.Index.create(tmp_path / "index", pq) as index:
        index.add(made)
        index.partition(200)
        allowed = pqstore.IdSet(np.flatnonzero(corner))
        queries = vectors(40, 9)
        with patch.object(Selection, "may_gather", lambda *_: False):
            found = index.search(queries, 10, allow=allowed, explain=True)
        exact = index.search(queries, 10, nprobe="all", allow=allowed)
        assert found.plan.method == "lists"
        assert found.plan.lists.rows_read < 12_000
        same = [len(set(a) & set(b)) for a, b in zip(found.ids.tolist(), exact.ids.tolist(), strict=True)]
        assert np.mean(same) > 9.5
        few = index.search(queries, 10, nprobe=1, allow=allowed, explain=True)
        assert np.isfinite(few.distances).all()
        for k in (1, len(allowed)):
            ids = index.search(queries[:2], k, scan=1, allow=allowed).ids
            assert all(len(set(row)) == k and set(row) <= set(allowed) for row in ids.tolist())


def test_codes_of_a_filter_are_kept_when_it_is_used_again(index: pqstore.Index) -> None:
    """Scans of all codes that have cost as much as fetching those that are allowed are the last; answers stay."""
    queries, where = vectors(1, 4), {"n": {"$lt": 2500}}
    methods, answers = [], []
    for _ in range(4):
        hits = index.search(queries, 10, where=where, nprobe="all", explain=True)
        methods.append(hits.plan.method)
        answers.append((hits.ids.tolist(), hits.distances.tolist()))
    assert methods == ["masked scan", "masked scan", "gather", "gather"]
    assert answers[1:] == answers[:-1]
    batch = index.search(vectors(9, 4), 10, where={"n": {"$lt": 2501}}, explain=True)
    assert batch.plan.method == "gather"


def test_a_recall_is_reached_in_the_quickest_way(index: pqstore.Index) -> None:
    """Rows for a recall grow under a filter; where all codes are as quick, they are scanned."""
    queries = vectors(60, 6)
    index.calibrate(queries, recall=0.9, k=10)
    plan = index.search(queries, 10, recall=0.9, explain=True).plan
    assert plan.method == "lists"
    with patch.object(Selection, "may_gather", lambda *_: False):
        filtered = index.search(queries, 10, recall=0.9, where={"half": 1}, explain=True).plan
    assert filtered.lists.budget == int(plan.lists.budget * 0.5**-0.25)
    assert index.search(queries, 10, scan=plan.lists.budget, where={"half": 1}, explain=True).plan.lists.budget == (
        plan.lists.budget
    )
    index.remove(range(400, 20_000))
    assert index.search(queries, 10, recall=0.9, explain=True).plan.method == "scan"
    with pytest.raises(TypeError, match="recall"):
        index.search(queries, 10, recall=True)


def test_queries_far_outside_the_data(index: pqstore.Index) -> None:
    """Beyond the grid on which lists are ordered all queries look alike: they still find k, at their distances."""
    for far in (1e4, 1e15):
        queries = np.stack([np.full(D, far), -np.full(D, far)]).astype(np.float32)
        ids, distances = index.search(queries, 10, scan=500)
        assert [len(set(row)) for row in ids.tolist()] == [10, 10]
        assert (distances >= index.search(queries, 10, nprobe="all").distances).all()
    with pytest.raises(pqstore.InvalidVectorError, match="overflow float32"):
        index.search(np.full(D, 1e30, dtype=np.float32), 10, scan=500)


def test_rows_read_grow_with_the_index(index: pqstore.Index) -> None:
    """Nearly in proportion as long as partitions stay, by the square root where they were made anew."""
    queries = vectors(60, 6)

    def budget() -> int:
        return index.search(queries[:1], 10, recall=0.9, explain=True).plan.lists.budget

    index.calibrate(queries, recall=0.9, k=10)
    scan = budget()
    index.add(vectors(20_000, 1))
    assert budget() == int(scan * 2**0.9)
    index.partition(300)
    assert budget() == int(scan * 2**0.5)
    index.remove(range(15_000))
    assert budget() == int(scan * (25 / 20) ** 0.5)


def test_lists_that_have_nothing_yet_are_not_read(tmp_path: Path) -> None:
    """A tail that was never sealed is scanned as without lists."""
    made = vectors(2000)
    pq = pqstore.PQ(M=32, Ks=16, verbose=False).fit(made[:400], iter=2)
    with pqstore.Index.create(tmp_path / "index", pq) as index:
        index.add(made)
        index.partition(20)
        hits = index.search(made[:3], 10, scan=100, explain=True)
        assert (hits.plan.method, index.stats().lists.listed_rows) == ("scan", 0)
        np.testing.assert_array_equal(hits.ids, index.search(made[:3], 10, nprobe="all").ids)


def test_ids_are_allowed_and_denied(index: pqstore.Index) -> None:
    query = vectors(1, 5)
    nearest = index.search(query, 10, nprobe=50).ids[0]
    ids = index.search(query, 10, nprobe=50, deny=nearest[:4]).ids[0]
    assert ids[:6].tolist() == nearest[4:].tolist()
    assert index.search(query, 3, nprobe=50, allow=nearest[4:]).ids[0].tolist() == nearest[4:7].tolist()


def test_batches_and_threads(index: pqstore.Index) -> None:
    queries = vectors(30, 6)
    expected = index.search(queries, 9, threads=1, nprobe=7)
    again = index.search(queries, 9, threads=2, nprobe=7)
    np.testing.assert_array_equal(again.ids, expected.ids)
    np.testing.assert_array_equal(again.distances, expected.distances)
    for at in (0, 13):
        one = index.search(queries[at], 9, nprobe=7)
        np.testing.assert_array_equal(one.ids, expected.ids[at])
        np.testing.assert_array_equal(one.distances, expected.distances[at])
    assert index.search(queries[:0], 9, nprobe=7).ids.shape == (0, 9)


def test_a_new_row_is_found_at_once(index: pqstore.Index) -> None:
    far = np.full((1, D), 40.0, dtype=np.float32)
    with index.transaction() as txn:
        (new,) = txn.add(far)
        assert txn.search(far, 1).ids[0, 0] == new
    assert index.search(far, 1, nprobe=1).ids[0, 0] == new
    index.remove([new])
    assert index.search(far, 1, nprobe=1).ids[0, 0] != new


def test_damaged_lists_are_told_with_what_helps(index: pqstore.Index) -> None:
    from pqstore.storage.format import records

    with index._store.read() as snapshot:
        run = SnapshotLists(snapshot).read().lists.runs[0].run
    for database, key in (("runchunks", records.key2(run, 0)), ("meta", records.LISTS_KEY)):
        with index._store.write() as txn:
            value = bytearray(txn.records.get(database, key))
            value[60] ^= 1
            txn.records.put(database, key, bytes(value))
            txn.records.state = txn.records.state._replace()
        index.close()
        index = pqstore.Index.open(index.path)
        with pytest.raises(pqstore.CorruptIndexError, match=r"partition\(\) makes the lists anew; nprobe='all'"):
            index.search(vectors(1), 10, nprobe=190)
        assert index.search(vectors(1), 10, nprobe="all").ids.shape == (1, 10)
        index.add(vectors(600))
        index.partition(200)
        assert index.verify(deep=True) == []
        assert index.search(vectors(1), 10, nprobe=190).ids.shape == (1, 10)
        with index._store.read() as snapshot:
            run = SnapshotLists(snapshot).read().lists.runs[0].run
    index.close()


def test_a_repaired_index_has_lists_again(index: pqstore.Index, tmp_path: Path) -> None:
    queries = vectors(5, 8)
    expected = index.search(queries, 10, nprobe="all")
    report = pqstore.Index.repair(index.path, tmp_path / "repaired")
    assert report.partitions == 200
    assert report.losses == []
    with pqstore.Index.open(tmp_path / "repaired") as repaired:
        assert repaired.stats().lists.partitions == 200
        np.testing.assert_array_equal(repaired.search(queries, 10, nprobe="all").ids, expected.ids)
        assert repaired.verify(deep=True) == []


def test_chunks_are_asked_for_before_the_first_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that a search wants and that was not read yet, at once; nothing again."""
    if active().name == "numpy":
        pytest.skip("the reference reads list by list, and asks for nothing")
    made = vectors(20_000)
    pq = pqstore.PQ(M=32, Ks=16, verbose=False).fit(made[:400], iter=2)
    with small_segments(512):
        with pqstore.Index.create(tmp_path / "index", pq) as index:
            index.add(made)
            index.partition(200)
            index.compact()
        told: list[Any] = []
        ask, read = DataFile.ask_for, ListReader.read_chunk
        monkeypatch.setattr(
            DataFile, "ask_for", lambda self, name, keys: (told.append(("ask", len(keys))), ask(self, name, keys))[1]
        )
        monkeypatch.setattr(
            ListReader, "read_chunk", lambda self, at, get: (told.append(("read", at)), read(self, at, get))[1]
        )
        with pqstore.Index.open(tmp_path / "index") as index:
            asked = vectors(5, 1)
            found = index.search(asked, 10, scan=15_000)
            wanted = sum(what == "read" for what, _ in told)
            assert wanted > 8
            assert told[0] == ("ask", wanted)
            assert told[0] not in told[1:]
            told.clear()
            again = index.search(asked, 10, scan=15_000)
            assert told == []
            np.testing.assert_array_equal(found.ids, again.ids)
