"""Groups by columns and by payloads: the same hits as out of a ranking of all rows, after any history of rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pqstore
from pqstore.index.search import groups as groups_room
from pqstore.storage import Snapshot

N, D = 600, 8
RNG = np.random.default_rng(23)
X = RNG.integers(0, 9, (N, D)).astype(np.float32)
Q = RNG.integers(0, 9, (6, D)).astype(np.float32)
# Most values are rare, so that what is missing of a group lies deep; some are common, and 1, 1.0 and True are two.
WORDS: list[Any] = ["common", 1, 1.0, True, None, 2.5, *range(100, 200), *(f"word {n}" for n in range(60))]
OF = [WORDS[w] for w in RNG.integers(0, len(WORDS), N)]


def payload_of(n: int) -> dict[str, Any] | None:
    return None if n % 13 == 0 else {"word": OF[n], "n": n}


@pytest.fixture(params=["columns", "payloads"])
def index(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """Rows of several units, some of them gone, some replaced, some changed since."""
    pq = pqstore.PQ(M=4, Ks=16, verbose=False).fit(X)
    fields = ["word"] if request.param == "columns" else []
    with pqstore.Index.create(tmp_path / "index", pq, fields=fields) as made:
        for start in range(0, N, 200):
            made.add(X[start : start + 200], payloads=[payload_of(n) for n in range(start, start + 200)])
        made.remove(np.arange(0, N, 7))
        made.upsert(X[40:60], np.arange(40, 60), payloads=[payload_of(n) for n in range(40, 60)])
        yield made


def wanted(index: pqstore.Index, query: np.ndarray, k: int, per_group: int, **asked: Any) -> list[int]:
    first: dict[Any, int] = {}
    found = []
    for id in index.search(query, k=N, **asked).ids.tolist():
        payload = None if id < 0 else payload_of(id)
        if payload is None:
            continue
        group = (isinstance(payload["word"], bool), payload["word"])
        if group in first or len(first) < k:
            first[group] = first.get(group, 0) + 1
            if first[group] <= per_group:
                found.append(id)
    return [*found, *[-1] * (k * per_group - len(found))]


ASKED: list[dict[str, Any]] = [{}, {"where": {"n": {"$gte": 150}}}, {"deny": list(range(0, N, 3))}]


@pytest.mark.parametrize("asked", ASKED, ids=["all", "where", "deny"])
def test_rare_and_common_values(index: pqstore.Index, asked: Any) -> None:
    for k, per_group in ((1, 2), (5, 2), (3, 3), (10, 2), (2, 40)):
        for query in Q:
            found = index.search(query, k=k, group_by="word", per_group=per_group, **asked).ids.tolist()
            assert found == wanted(index, query, k, per_group, **asked)


@pytest.mark.parametrize("limits", [{"_KEPT_BYTES": 0}, {"_KEPT_BYTES": 600}, {"_GATHER_COST": 10**9}], ids=str)
def test_what_is_kept_changes_nothing(
    index: pqstore.Index, monkeypatch: pytest.MonkeyPatch, limits: dict[str, int]
) -> None:
    for name, value in limits.items():
        monkeypatch.setattr(groups_room, name, value)
    for query in [*Q, *Q]:
        assert index.search(query, k=5, group_by="word", per_group=2).ids.tolist() == wanted(index, query, 5, 2)


def test_a_change_is_seen(index: pqstore.Index) -> None:
    """Rows of groups are kept for one state: a later one has others."""
    before = index.search(Q[0], k=5, group_by="word", per_group=2).ids
    index.remove(before[:3])
    after = index.search(Q[0], k=5, group_by="word", per_group=2).ids.tolist()
    assert after == wanted(index, Q[0], 5, 2)
    assert not set(before[:3].tolist()) & set(after)


@pytest.mark.parametrize("index", ["columns"], indirect=True)
def test_no_payload_is_read_where_there_is_a_column(index: pqstore.Index, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of the rows that were ranked had its payload unpacked, some hundreds for ten pairs."""
    expected = wanted(index, Q[0], 10, 2)

    def refuse(*_: object) -> None:
        raise AssertionError("a payload was read")

    monkeypatch.setattr(Snapshot, "payloads_of", refuse)
    monkeypatch.setattr(Snapshot, "payload_items", refuse)
    assert index.search(Q[0], k=10, group_by="word", per_group=2).ids.tolist() == expected


@pytest.mark.parametrize("index", ["columns"], indirect=True)
def test_groups_are_read_once_a_state(index: pqstore.Index, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every query evaluated a new filter over all rows."""
    index.search(Q, k=10, group_by="word", per_group=2)
    monkeypatch.setattr(groups_room, "positions_of", None)
    index.search(Q, k=10, group_by="word", per_group=2)
