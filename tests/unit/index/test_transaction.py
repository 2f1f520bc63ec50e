"""Several changes become one: seen by the transaction's own calls at once, by all others at its end, or never."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pqstore
from tests.unit.index.contents import GOOD, N, payload, vectors

KINDS = [("int64", None), ("int64", "float32"), ("str", "float16")]


def name(n: int, id_type: str) -> Any:
    return n if id_type == "int64" else f"d{n}"


@pytest.fixture(params=KINDS, ids=lambda kind: f"{kind[0]}-{kind[1]}")
def whole(request: pytest.FixtureRequest, tmp_path: Path, small_pq: pqstore.PQ) -> Iterator[pqstore.Index]:
    id_type, originals = request.param
    path = tmp_path / "index"
    with pqstore.Index.create(path, small_pq, id_type=id_type, originals=originals, fields=["n"]) as index:
        index.add(vectors(), [name(n, id_type) for n in range(N)], payloads=[payload(n) for n in range(N)])
        yield index
        assert index.verify(deep=True) == []


def test_all_of_it_is_seen_inside_and_then_by_everyone(whole: pqstore.Index) -> None:
    def ids(*numbers: int) -> list[Any]:
        return [name(n, whole.id_type) for n in numbers]

    rest = sum(payload(n) is not None and payload(n)["n"] == 3 for n in range(N))
    with whole.transaction() as txn:
        assert txn.delete({"n": 3}) == rest
        txn.add(vectors()[:50] + 9, ids(*range(N, N + 50)), payloads=[{"n": 3, "new": True}] * 50)
        assert (len(txn), txn.count({"n": 3}), txn.count({"new": True})) == (N - rest + 50, 50, 50)
        assert txn.upsert(GOOD[:1], ids(0), payloads=[{"n": 3}]).tolist() == ids(0)
        txn.update_payload(ids(N + 1), {"more": 1})
        assert txn.get(ids(N + 1)[0]).payload == {"n": 3, "new": True, "more": 1}
        assert txn.remove(ids(N + 2)) == 1
        assert [one in txn for one in ids(N, N + 2)] == [True, False]
        assert txn.search(vectors()[7] + 9, k=3, where={"new": True}).ids.tolist().count(ids(N + 2)[0]) == 0
        inside = txn.search(vectors()[:20] + 9, k=5)
        within = txn.range_search(vectors()[3] + 9, 5.0)
        txn.save_set("new", ids(N, N + 1))
        assert txn.sets == {"new": 2}
        assert txn.saved_set("new").tolist() == sorted(ids(N, N + 1))
        assert sorted(txn.search(GOOD[0], k=3, allow="new").ids.tolist()[:2], key=str) == ids(N, N + 1)
        assert (len(whole), whole.sets, ids(N)[0] in whole) == (N, {}, False)
        kept = whole.stats().commits
    assert whole.stats().commits == kept + 1, "one commit"
    assert (len(whole), whole.count({"n": 3}), whole.count({"new": True})) == (N - rest + 49, 50, 49)
    np.testing.assert_array_equal(whole.search(vectors()[:20] + 9, k=5).distances, inside.distances)
    np.testing.assert_array_equal(whole.range_search(vectors()[3] + 9, 5.0).distances, within.distances)


def test_nothing_happens_on_an_exception(whole: pqstore.Index) -> None:
    before = whole.search(vectors()[:50], k=5)
    with pytest.raises(ZeroDivisionError), whole.transaction() as txn:  # noqa: PT012 - the block is what is tested
        assert txn.clear() == N
        assert len(txn) == 0
        txn.add(GOOD, [name(n, whole.id_type) for n in range(5)])
        raise ZeroDivisionError
    np.testing.assert_array_equal(whole.search(vectors()[:50], k=5).ids, before.ids)
    with pytest.raises(pqstore.IndexClosedError):
        txn.count()


def test_a_call_that_is_refused_changes_nothing_and_the_block_goes_on(whole: pqstore.Index) -> None:
    with whole.transaction() as txn:
        with pytest.raises(pqstore.UnknownIdError):
            txn.remove([name(1, whole.id_type), name(N, whole.id_type)])
        with pytest.raises(pqstore.DuplicateIdError):
            txn.add(GOOD, [name(n, whole.id_type) for n in range(N - 1, N + 4)])
        with pytest.raises(pqstore.DimensionError):
            txn.add(GOOD[:, :3])
        assert len(txn) == N
        txn.remove(name(1, whole.id_type))
    assert len(whole) == N - 1


def test_a_call_that_fails_half_way_ends_the_transaction(whole: pqstore.Index) -> None:
    ids = iter([name(n, whole.id_type) for n in (N, N + 1, 0)])
    with pytest.raises(pqstore.PQStoreError, match="half-way"), whole.transaction() as txn:  # noqa: PT012 - as above
        txn.remove(name(3, whole.id_type))
        with pytest.raises(pqstore.DuplicateIdError):
            txn.add(iter([GOOD[:2], GOOD[2:3]]), ids)
        with pytest.raises(pqstore.PQStoreError, match="leave the block"):
            txn.remove(name(4, whole.id_type))
    assert len(whole) == N
    assert whole.remove(name(3, whole.id_type), timeout=0) == 1


def test_it_belongs_to_its_thread_and_is_used_once(empty: pqstore.Index) -> None:
    errors: list[BaseException] = []
    with empty.transaction() as txn:

        def other() -> None:
            for call in (lambda: txn.add(GOOD), lambda: empty.add(GOOD, timeout=0.05)):
                try:
                    call()
                except pqstore.PQStoreError as error:
                    errors.append(error)

        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        with pytest.raises(pqstore.PQStoreError, match="this thread"):
            empty.add(GOOD)
        txn.add(GOOD)
    assert "belongs to the thread" in str(errors[0])
    assert isinstance(errors[1], pqstore.IndexLockedError)
    with pytest.raises(pqstore.PQStoreError, match="used once"):
        txn.__enter__()
    assert len(empty) == 5


def test_clear(whole: pqstore.Index) -> None:
    whole.save_set("some", [name(1, whole.id_type)])
    assert whole.clear() == N
    assert (len(whole), whole.clear(), whole.sets, whole.fields) == (0, 0, {"some": 1}, ("n",))
    whole.compact()
    assert whole.stats().dead_rows == 0
    if whole.id_type == "int64":
        assert whole.add(GOOD[:1]).tolist() == [N], "automatic ids go on"


def test_every_change_takes_a_timeout(whole: pqstore.Index) -> None:
    one = name(1, whole.id_type)
    calls = [
        lambda t: whole.add(GOOD, timeout=t),
        lambda t: whole.upsert(GOOD[:1], [one], timeout=t),
        lambda t: whole.remove(one, timeout=t),
        lambda t: whole.delete({"n": 1}, timeout=t),
        lambda t: whole.clear(timeout=t),
        lambda t: whole.update_payload(one, {}, timeout=t),
        lambda t: whole.create_field_index("word", timeout=t),
        lambda t: whole.save_set("x", [one], timeout=t),
        lambda t: whole.drop_set("x", timeout=t),
        lambda t: whole.compact(timeout=t),
        lambda t: whole.transaction(timeout=t).__enter__(),
    ]
    if whole.originals is None:
        calls.append(lambda t: whole.add_codes(np.zeros((1, 4), dtype=np.uint8), timeout=t))
    else:
        calls.append(lambda t: whole.calibrate(GOOD, k=1, timeout=t))
    errors: list[str] = []

    def other() -> None:
        for call in calls:
            with pytest.raises(pqstore.IndexLockedError):
                call(0)
            errors.append("locked")

    with whole.transaction():
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert len(errors) == len(calls)
    for call in calls:
        for wrong, error in (("1", TypeError), (True, TypeError), (-1, ValueError), (float("nan"), ValueError)):
            with pytest.raises(error, match="timeout"):
                call(wrong)
    assert len(whole) == N


def test_a_later_call_finds_the_ids_of_an_earlier_one(tmp_path: Path) -> None:
    """Each call looked for its ids among the rows of before the transaction alone, so that one id got two live rows."""
    with pqstore.Index.create(tmp_path / "index", dim=4) as index:
        for _ in range(2):
            with index.transaction() as txn:
                txn.upsert(np.zeros((3, 4)), [1, 2, 3])
                txn.upsert(np.ones((2, 4)), [2, 4])
                with pytest.raises(pqstore.DuplicateIdError):
                    txn.add(np.ones((1, 4)), [4])
                txn.add(np.zeros((2, 4)), [4, 5], "skip")
            assert sorted(index) == [1, 2, 3, 4, 5]
            assert index.get(2).vector.tolist() == [1, 1, 1, 1] == index.get(4).vector.tolist()
            assert index.verify(deep=True) == []
