"""Payloads of vectors that are there, changed by id and by filter."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import pqstore
from pqstore.index import payload_updates

N, D = 60, 8
X = np.random.default_rng(3).random((N, D), dtype=np.float32)


@pytest.fixture(params=["no index", "indexed"])
def index(tmp_path: Path, request: pytest.FixtureRequest) -> pqstore.Index:
    index = pqstore.Index.create(
        tmp_path / "index", dim=D, originals="float32", fields=["doc"] if request.param == "indexed" else []
    )
    index.add(X, payloads=[{"doc": n // 10, "n": n} if n % 7 else None for n in range(N)])
    return index


def test_by_filter_merges_into_what_is_there(index: pqstore.Index) -> None:
    before = {id: index.get(id) for id in range(N)}
    found = [n for n in range(N) if n % 7 and n // 10 == 2]
    assert index.update_payload(payloads={"seen": True}, where={"doc": 2}) == len(found)
    for n in range(N):
        record, old = index.get(n), before[n]
        assert record.payload == ({**old.payload, "seen": True} if n in found else old.payload)
        np.testing.assert_array_equal(record.vector, X[n])
    assert index.count({"seen": True}) == len(found)
    assert not index.verify(deep=True)


def test_by_filter_replaces_and_removes(index: pqstore.Index) -> None:
    some = index.update_payload(payloads={"new": 1}, where={"doc": 3}, merge=False)
    assert index.count({"new": 1}) == some > 0
    assert index.count({"doc": 3}) == 0
    assert index.update_payload(payloads=None, where={"doc": 4}) > 0
    assert index.count({"doc": 4}) == 0
    assert len(index) == N


def test_a_change_of_the_field_that_is_asked_finds_each_once(index: pqstore.Index) -> None:
    found = index.count({"doc": {"$gte": 0}})
    assert index.update_payload(payloads={"doc": 1}, where={"doc": {"$gte": 0}}) == found
    assert index.count({"doc": 1}) == found


def test_only_those_ids_of_what_is_found(index: pqstore.Index) -> None:
    assert index.update_payload([1, 2, 55], {"seen": 1}, where={"doc": 0}) == 2
    assert [record.id for record in index.scroll({"seen": 1}).records] == [1, 2]


def test_more_than_a_block(index: pqstore.Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(payload_updates, "_BLOCK_ROWS", 7)
    found = index.count({"n": {"$gt": 20}})
    assert index.update_payload(payloads={"seen": 1}, where={"n": {"$gt": 20}}) == found == index.count({"seen": 1})
    assert not index.verify(deep=True)


def test_in_a_transaction_it_finds_what_was_changed_there(index: pqstore.Index) -> None:
    with index.transaction() as txn:
        txn.add(X[:2], [100, 101], payloads=[{"doc": 77}, {"doc": 78}])
        assert txn.update_payload(payloads={"seen": 1}, where={"doc": 77}) == 1
    assert index.get(100).payload == {"doc": 77, "seen": 1}


def test_what_is_refused_changes_nothing(index: pqstore.Index) -> None:
    before = [index.get(n).payload for n in range(N)]
    with pytest.raises(TypeError, match="needs payloads"):
        index.update_payload([1])
    with pytest.raises(TypeError, match="needs payloads"):
        index.update_payload(where={"doc": 1})
    with pytest.raises(ValueError, match="ids or a filter"):
        index.update_payload(payloads={"a": 1})
    with pytest.raises(ValueError, match="an empty filter would change every payload"):
        index.update_payload(payloads={"a": 1}, where={})
    with pytest.raises(pqstore.InvalidPayloadError, match="one payload for all"):
        index.update_payload(payloads=[{"a": 1}], where={"doc": 1})
    with pytest.raises(pqstore.InvalidPayloadError, match="payload 0 has the key 1"):
        index.update_payload(payloads={1: 1}, where={"doc": 1})  # type: ignore[dict-item]
    with pytest.raises(pqstore.InvalidFilterError, match="unknown operator"):
        index.update_payload(payloads={"a": 1}, where={"doc": {"$near": 1}})
    assert [index.get(n).payload for n in range(N)] == before


def test_nothing_found_is_nothing_changed(index: pqstore.Index) -> None:
    assert index.update_payload(payloads={"a": 1}, where={"doc": 1234}) == 0
