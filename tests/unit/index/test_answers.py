"""Re-ranking, payloads, filters and ranges: answers, bad input, and what a reader sees."""

from __future__ import annotations

import asyncio
import os
import threading
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest

import pqstore
from pqstore.storage.attachments import payload_records

N = 1500


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory, small_pq: pqstore.PQ) -> pqstore.Index:
    path = tmp_path_factory.mktemp("answers") / "index"
    made = pqstore.Index.create(path, small_pq, originals="float32", fields=["n"])
    made.add(vectors(), payloads=[payload(n) for n in range(N)])
    made.calibrate(vectors()[:40], recall=0.9, k=5)
    return made


def vectors() -> np.ndarray:
    return np.random.default_rng(1).standard_normal((N, 8)).astype(np.float32)


def payload(n: int) -> dict | None:
    return None if n % 7 == 0 else {"n": n % 40, "word": "even" if n % 2 == 0 else "odd", "list": [n % 3, "x"]}


@pytest.fixture
def empty(tmp_path: Path, small_pq: pqstore.PQ) -> pqstore.Index:
    return pqstore.Index.create(tmp_path / "index", small_pq, originals="float16")


def test_recall_of_real_vectors(tmp_path, base, queries, truth, sift_pq) -> None:
    for kind, least in (("int8", 0.98), ("float16", 0.98), ("float32", 0.98)):
        with pqstore.Index.create(tmp_path / kind, sift_pq, originals=kind) as index:
            index.add(base)
            found = index.search(queries, k=10, rerank=100)
            shares = [len(set(a) & set(b[:10])) / 10 for a, b in zip(found.ids.tolist(), truth.tolist(), strict=True)]
            assert np.mean(shares) >= least
            # whole numbers of 8 bits are exact in all three
            differences = base[found.ids].astype(np.float64) - queries[:, None].astype(np.float64)
            np.testing.assert_array_equal(found.distances, (differences**2).sum(axis=2))
            one = index.search(queries[3], k=10, rerank=100)
            np.testing.assert_array_equal(one.ids, found.ids[3])
            np.testing.assert_array_equal(index.get(17).vector, base[17])


@pytest.mark.parametrize("metric", ["l2", "dot", "cosine"])
def test_int8_is_within_half_a_step(tmp_path, small_pq, metric) -> None:
    given = vectors() * np.random.default_rng(2).uniform(1e-3, 1e3, (N, 1)).astype(np.float32)
    with pqstore.Index.create(tmp_path / metric, small_pq, metric=metric, originals="int8") as index:
        index.add(given)
        got = np.array([record.vector for record in index.get(range(N))])
        step = (given.max(axis=1) - given.min(axis=1)) / 255
        assert (np.abs(got - given) <= step[:, None] * 0.501 + 1e-6).all()
        constant = np.full((1, 8), 0.1, dtype=np.float32)
        index.add(constant, ids=[9999])
        np.testing.assert_array_equal(index.get(9999).vector, constant[0])


@pytest.mark.parametrize("rerank", [None, 50])
def test_queries_that_do_not_lie_in_one_piece(index, rerank) -> None:
    queries = vectors()[:6]
    expected = index.search(queries, k=5, rerank=rerank)
    for scattered in (np.asfortranarray(queries), np.repeat(queries, 2, axis=1)[:, ::2], queries[::-1][::-1]):
        found = index.search(scattered, k=5, rerank=rerank)
        np.testing.assert_array_equal(found.ids, expected.ids)
        np.testing.assert_array_equal(found.distances, expected.distances)
        one = index.search(scattered[3], k=5, rerank=rerank)
        np.testing.assert_array_equal(one.ids, expected.ids[3])


def test_rerank_beyond_the_live_rows(index) -> None:
    found = index.search(vectors()[5], k=5, rerank=10_000)
    assert found.ids[0] == 5
    assert found.distances[0] == 0
    assert len(index.search(vectors()[5], k=2000, rerank=2000).ids) == 2000


def test_calibration_is_kept(index) -> None:
    kept = index.calibrate(vectors()[:40], recall=0.9, k=5)
    assert kept.reached >= 0.9
    hits = index.search(vectors()[0], k=5, rerank="auto", explain=True)
    assert hits.plan.rerank == kept.rerank
    assert index.search(vectors()[0], k=10, rerank="auto", explain=True).plan.rerank == 2 * kept.rerank
    fewer = index.search(vectors()[:40], k=5, rerank=max(5, kept.rerank - 1))
    exact = index.search(vectors()[:40], k=5, rerank=N)
    share = np.mean([len(np.intersect1d(a, b)) / 5 for a, b in zip(fewer.ids, exact.ids, strict=True)])
    assert share < 0.9 or kept.rerank == 5


def test_recall_report(index, capsys) -> None:
    report = index.recall_report(vectors()[:20], rerank=[50, 1500])
    printed = capsys.readouterr().out
    assert "recall@10" in printed
    assert str(report) in printed
    by_rerank = {row.rerank: row for row in report.rows}
    assert by_rerank[1500].recall == {1: 1.0, 10: 1.0, 100: 1.0}
    assert by_rerank[None].recall[10] < by_rerank[50].recall[10] <= 1
    assert np.isnan(by_rerank[50].recall[100])


def test_plan(index) -> None:
    plan = index.search(vectors()[0], where={"n": 3, "word": "odd"}, explain=True).plan
    assert (plan.indexed_fields, plan.scanned_fields) == (("n",), ("word",))
    assert plan.allowed_rows == index.count({"n": 3, "word": "odd"}) > 0
    assert 0 < plan.payloads_read <= N // 20
    assert index.search(vectors()[0], where={"n": 3}, explain=True).plan.payloads_read == 0
    assert index.search(vectors()[0], allow=[3], explain=True).plan.method == "gather"
    assert index.search(vectors()[0], deny=[3], explain=True).plan.method == "masked scan"
    assert index.search(vectors()[0], allow=[], explain=True).plan.method == "empty"


def test_a_filter_that_allows_nothing(index) -> None:
    for restriction in ({"where": {"n": -5}}, {"allow": []}, {"allow": [10**9]}, {"where": {"n": {"$in": []}}}):
        ids, distances = index.search(vectors()[:2], k=4, rerank=50, **restriction)
        assert (ids == -1).all()
        assert np.isinf(distances).all()
        found = index.range_search(vectors()[0], 100.0, **restriction)
        assert len(found.ids) == len(found.distances) == 0
        assert index.count(**restriction) == 0
    assert index.scroll({"n": -5}) == ([], None)


def test_id_sets(index) -> None:
    chosen = pqstore.IdSet(np.arange(0, 100))
    for _ in range(2):
        found = index.search(vectors()[:3], k=5, allow=chosen, where={"word": "odd"})
        np.testing.assert_array_equal(
            found.ids, index.search(vectors()[:3], k=5, allow=range(100), where={"word": "odd"}).ids
        )
        assert index.count(deny=chosen) == N - 100
    assert len(chosen) == 100


def test_filters_follow_changes(tmp_path, small_pq) -> None:
    with pqstore.Index.create(tmp_path / "index", small_pq, fields=["n"]) as index:
        assert index.count({"n": 1}) == 0
        index.add(vectors(), payloads=[payload(n) for n in range(N)])
        before = index.count({"n": 1})
        with index.snapshot() as view:
            gone = index.delete({"n": 1}, ids=range(0, N, 2))
            assert index.count({"n": 1}) == before - gone
            assert view.count({"n": 1}) == before
        assert index.update_payload([2, 4], {"n": 1, "new": True}) == 2
        assert index.count({"n": 1}) == before - gone + 2
        assert index.get(2).payload == {**payload(2), "n": 1, "new": True}
        index.update_payload(4, None)
        assert index.get(4).payload is None
        index.upsert(vectors()[:1], [2])
        assert index.get(2).payload is None
        assert index.count({"n": 1}) == before - gone


def test_payload_values_come_back(empty) -> None:
    moment = datetime(1815, 12, 10, 3, 4, 5, 123457, tzinfo=timezone(timedelta(hours=2)))
    given = {
        "map": {"inner": [1, -1.5, "ü", None, True, b"\x00"], "2": {}},
        "limits": [2**64 - 1, -(2**63), 1e308],
        "moment": moment,
        "numpy": [np.int32(4), np.float32(0.5), np.bool_(True)],
        "": "empty key",
    }
    empty.add(vectors()[:3], payloads=[given, {}, None])
    got = empty.get(0, include="payload").payload
    assert got == {**given, "numpy": [4, 0.5, True]}
    assert [record.payload for record in empty.get([1, 2])] == [{}, None]
    assert empty.count({"moment": {"$lt": moment + timedelta(microseconds=1), "$gte": moment}}) == 1


@pytest.mark.parametrize(
    "bad",
    [
        {"x": object()},
        {"x": 2**64},
        {"x": datetime(2020, 1, 1)},
        {1: "key"},
        {"x": "\ud800"},
        {"\ud800": 1},
        ["list"],
        "text",
        5,
        {"x": {1, 2}},
        {"x": 1j},
    ],
    ids=range(11),  # an address in a name differs from process to process
)
def test_payloads_that_cannot_be_stored(empty, bad) -> None:
    with pytest.raises(pqstore.InvalidPayloadError, match="payload 1"):
        empty.add(vectors()[:2], payloads=[{"ok": 1}, bad])
    assert len(empty) == 0
    assert empty.add(vectors()[:1], payloads=[{"ok": 1}]).tolist() == [0]


def test_a_payload_that_is_too_large(empty, monkeypatch) -> None:
    monkeypatch.setattr(payload_records, "MAX_PAYLOAD_BYTES", 100)
    with pytest.raises(pqstore.InvalidPayloadError, match="100 at most"):
        empty.add(vectors()[:1], payloads=[{"x": "y" * 100}])


@pytest.mark.parametrize("payloads", [[], [{}], [{}] * 3, iter([{}]), iter([{}] * 3)], ids=range(5))
def test_payload_counts(empty, payloads) -> None:
    with pytest.raises(pqstore.DimensionError, match="payloads"):
        empty.add(vectors()[:2], payloads=payloads)
    assert len(empty) == 0


@pytest.mark.parametrize(
    ("where", "named"),
    [
        ({"n": {"$regex": "x"}}, r"\$regex"),
        ({"$xor": []}, r"\$xor"),
        ({"nn": 1}, "'nn'"),
        ({"$or": []}, r"\$or"),
        ({"$and": {"n": 1}}, r"\$and"),
        ({"$not": [1]}, "list"),
        ({"n": {}}, "'n'"),
        ({"n": [1]}, r"\$contains"),
        ({"n": {"$in": 3}}, r"\$in"),
        ({"n": {"$exists": 1}}, r"\$exists"),
        ({"n": {"$gt": None}}, "NoneType"),
        ({"n": {"$gt": True}}, "bool"),
        ({"n": {"$gt": "2020"}}, "number"),
        ({"word": {"$lt": 5}}, "str"),
        ({"$not": {"n": {"$lt": "x"}}}, "number"),
        ({"list": {"$lt": 5}}, "list"),
        ({"n": float("nan")}, "nan"),
        ({"n": datetime(2020, 1, 1)}, "'n'"),
        ({5: 1}, "5"),
        ("n = 1", "str"),
    ],
    ids=repr,
)
def test_bad_filters(index, where, named) -> None:
    for call in (lambda: index.search(vectors()[0], where=where), lambda: index.count(where)):
        with pytest.raises(pqstore.InvalidFilterError, match=named):
            call()


def test_deep_filters(index) -> None:
    where: dict = {"n": 1}
    for _ in range(100):
        where = {"$not": where}
    with pytest.raises(pqstore.InvalidFilterError, match="deeper"):
        index.count(where)


def test_bad_arguments(index, tmp_path, small_pq) -> None:
    query = vectors()[0]
    for options, error in (
        ({"rerank": 4, "k": 5}, ValueError),
        ({"rerank": "best"}, ValueError),
        ({"rerank": True}, TypeError),
        ({"rerank": 10.5}, TypeError),
        ({"include": ("payloads",)}, ValueError),
        ({"allow": ["a"]}, pqstore.InvalidIdError),
    ):
        with pytest.raises(error):
            index.search(query, **options)
    for radius, error in ((float("nan"), ValueError), ("1", TypeError), (None, TypeError), ([1.0], TypeError)):
        with pytest.raises(error, match="radius"):
            index.range_search(query, radius)
    with pytest.raises(ValueError, match="limit"):
        index.range_search(query, 1.0, limit=0)
    with pytest.raises(ValueError, match="codes"):
        index.add_codes(np.zeros((1, 4), dtype=np.uint8))
    with pytest.raises(ValueError, match="every vector"):
        index.delete({})
    with pytest.raises(ValueError, match="delete needs"):
        index.delete()
    with pytest.raises(ValueError, match="originals must be"):
        pqstore.Index.create(tmp_path / "x", small_pq, originals="float8")
    with pytest.raises(ValueError, match="field"):
        pqstore.Index.create(tmp_path / "x", small_pq, fields=["$n"])
    assert not (tmp_path / "x").exists()
    with pytest.raises(pqstore.InvalidIdError):
        index.upsert(vectors()[:1], None)
    with pytest.raises(pqstore.UnknownIdError):
        index.get([1, 10**7])
    assert index.get([10**7, 1], missing="ignore")[0] is None
    with pytest.raises(pqstore.DuplicateIdError):
        index.update_payload([1, 1], {})
    with pytest.raises(ValueError, match="after"):
        index.scroll(after=-1)


def test_without_originals(tmp_path, small_pq) -> None:
    with pqstore.Index.create(tmp_path / "index", small_pq) as index:
        index.add(vectors()[:20])
        for call in (
            lambda: index.search(vectors()[0], rerank=20),
            lambda: index.range_search(vectors()[0], 1.0, rerank=20),
            lambda: index.calibrate(vectors()[:5]),
            lambda: index.recall_report(vectors()[:5]),
        ):
            with pytest.raises(ValueError, match="originals='float16'"):
                call()
        record = index.get(3)
        assert not record.is_original
        np.testing.assert_array_equal(record.vector, index.reconstruct(3))


def test_auto_without_calibration(empty) -> None:
    with pytest.raises(ValueError, match="calibrate"):
        empty.search(vectors()[0], rerank="auto")


def test_float16_refuses_what_it_cannot_hold(empty) -> None:
    with pytest.raises(pqstore.InvalidVectorError, match="float16"):
        empty.add(np.full((1, 8), 1e6, dtype=np.float32))
    assert len(empty) == 0


def test_range_search(index) -> None:
    query = vectors()[:3]
    everything = index.range_search(query, np.inf)
    assert [len(ids) for ids in everything.ids] == [N] * 3
    for q in range(3):
        assert (np.diff(everything.distances[q]) >= 0).all()
        nearest = index.search(query[q], k=N)
        np.testing.assert_array_equal(everything.ids[q], nearest.ids)
        limited = index.range_search(query[q], np.inf, limit=7)
        np.testing.assert_array_equal(limited.ids, nearest.ids[:7])
    ids, distances = index.range_search(query[0], 5.0, rerank=N)
    exact = ((vectors().astype(np.float64) - query[0]) ** 2).sum(axis=1).astype(np.float32)
    assert sorted(ids.tolist()) == np.flatnonzero(exact <= 5.0).tolist()
    np.testing.assert_array_equal(distances, exact[ids])


def test_scroll(index) -> None:
    seen, after = [], None
    while True:
        page = index.scroll({"word": "odd"}, limit=70, after=after, include=("payload", "vector"))
        seen += page.records
        after = page.after
        if after is None:
            break
    assert [record.id for record in seen] == [n for n in range(N) if payload(n) and n % 2]
    assert all(record.payload == payload(record.id) for record in seen)
    np.testing.assert_array_equal(seen[3].vector, vectors()[seen[3].id])


def test_the_event_loop_stays_free(index, monkeypatch) -> None:
    entered, go_on = threading.Event(), threading.Event()
    plain = index.search

    def held(*args, **options):
        entered.set()
        assert go_on.wait(20)
        return plain(*args, **options)

    async def work() -> list:
        monkeypatch.setattr(index, "search", held)
        task = asyncio.create_task(index.asearch(vectors()[1], k=1, rerank=50))
        while not entered.is_set():
            await asyncio.sleep(0.001)
        record = await index.aget(5, include="payload")  # answered while the search is held up
        assert record.payload == payload(5)
        go_on.set()
        return (await task).ids.tolist()

    assert asyncio.run(work()) == [1]


def test_async_changes(empty) -> None:
    async def work() -> None:
        await empty.aadd(vectors()[:5], payloads=[{"n": n} for n in range(5)])
        await empty.aupsert(vectors()[:1], [3], payloads=[{"n": 9}])
        assert (await empty.arange_search(vectors()[0], np.inf, where={"n": 9})).ids.tolist() == [3]
        assert await empty.aremove([3]) == 1

    asyncio.run(work())
    assert len(empty) == 4


def test_killed_between_the_files_and_the_commit(tmp_path, small_pq) -> None:
    from pqstore.storage.disk.crash_points import observe

    path = tmp_path / "index"
    with pqstore.Index.create(path, small_pq, originals="int8") as index:
        index.add(vectors()[:50], payloads=[{"n": n} for n in range(50)])
    for point in ("originals written", "originals synced", "before commit"):
        pid = os.fork()
        if pid == 0:
            observe(lambda name, point=point: os._exit(7) if name == point else None)
            pqstore.Index.open(path).add(vectors()[100:200], payloads=[{"m": n} for n in range(100)])
            os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
        with pqstore.Index.open(path) as index:
            assert len(index) == 50
            assert index.verify(deep=True) == []
    with pqstore.Index.open(path) as index:
        ids = index.add(vectors()[200:300], payloads=[{"n": n} for n in range(100)])
        assert index.verify(deep=True) == []
        assert [record.payload["n"] for record in index.get(ids)] == list(range(100))


def test_a_view_outlives_removal_of_its_files(tmp_path, sift_pq, base) -> None:
    with pqstore.Index.create(tmp_path / "index", sift_pq, originals="int8") as index:
        index.add(base[:3000])
        with index.snapshot() as view:
            index.remove(np.arange(0, 3000, 2))
            index.compact()
            index.add(base[3000:4000])
            index.compact()
            np.testing.assert_array_equal(view.get(4).vector, base[4])
            assert view.search(base[4], k=1, rerank=50).distances[0] == 0
        assert index.verify(deep=True) == []
