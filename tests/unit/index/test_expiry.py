"""Vectors that expire: found by nothing from the moment that a field names, whatever happens to the index."""

from __future__ import annotations

import pickle
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pqstore
from pqstore.storage import store as storage
from tests.effort import tries

D = 8
TRAIN = np.random.default_rng(3).integers(0, 40, (300, D)).astype(np.float32)
PQ = pqstore.PQ(M=4, Ks=16, verbose=False).fit(TRAIN, iter=2)
START = datetime(2030, 1, 1, tzinfo=timezone.utc)


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.microseconds = 0

    def __call__(self) -> float:
        return START.timestamp() + self.microseconds / 1e6


def end(microseconds: int) -> datetime:
    return START + timedelta(microseconds=microseconds)


def vectors(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(1, 9, (count, D)).astype(np.float32)


@pytest.fixture(params=["exact", "codes", "lists", "originals"])
def made(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Clock]:
    monkeypatch.setattr(storage, "segment_rows_for", lambda packing: 64)
    monkeypatch.setattr(storage, "chunk_rows_for", lambda packing: 32)
    clock, kind = Clock(), request.param
    index = pqstore.Index.create(
        tmp_path / "index",
        None if kind == "exact" else PQ,
        dim=D,
        originals="float32" if kind == "originals" else "default" if kind == "exact" else None,
        train="manual",
        fields=["n"],
        expiry="life.until",
        clock=clock,
    )
    if kind == "lists":
        index.add(vectors(160, 9), np.arange(10_000, 10_160))
        index.partition(2)
        index.remove(np.arange(10_000, 10_160))
    return index, clock


def check(index: pqstore.Index, model: dict[int, tuple[int, int | None]], now: int) -> None:
    """`model`: id -> (n, end); every way of asking finds those that live."""
    alive = {id: n for id, (n, until) in model.items() if until is None or until > now}
    ids = sorted(alive)
    assert len(index) == index.count() == index.stats().vectors == len(alive)
    assert sorted(index) == ids
    assert [record.id for record in index.scroll(limit=9999).records] == ids
    query = np.full(D, 4.0, dtype=np.float32)
    found = index.search(query, k=len(alive) + 5, nprobe="all").ids
    assert sorted(found[found >= 0].tolist()) == ids
    assert sorted(index.range_search(query, np.inf).ids.tolist()) == ids
    found = index.search(query, k=len(alive) + 5, where={"n": {"$lt": 3}}).ids
    assert sorted(found[found >= 0].tolist()) == [id for id in ids if alive[id] < 3]
    found = index.search(query, k=len(alive) + 5, allow="all").ids
    assert sorted(found[found >= 0].tolist()) == [id for id in ids if id < 100]
    groups = index.search(query, k=9, group_by="n").ids
    assert {alive[id] for id in groups[groups >= 0].tolist()} == set(alive.values())
    counts = {n: list(alive.values()).count(n) for n in alive.values()}
    assert dict(index.field_values("n").values) == counts
    assert index.count({"n": 2}) == counts.get(2, 0)
    assert [record is not None for record in index.get(list(model), missing="ignore")] == [id in alive for id in model]
    for id in list(model)[:5]:
        assert (id in index) == (id in alive)
    if index.phase == "codes":
        assert sorted(id for block, _ in index.iter_codes() for id in block.tolist()) == ids


def payload(n: int, until: int | None) -> dict[str, Any]:
    return {"n": n, "life": {} if until is None else {"until": end(until)}}


@pytest.mark.parametrize("seed", range(tries(1, 60)))
def test_any_history(made: tuple[Any, Clock], seed: int) -> None:
    index, clock = made
    rng = np.random.default_rng(seed)
    model: dict[int, tuple[int, int | None]] = {}
    index.save_set("all", np.arange(100))
    print(f"seed {seed}")
    for step in range(18):
        now = clock.microseconds
        alive = [id for id, (_, until) in model.items() if until is None or until > now]
        action = rng.choice(["add", "upsert", "remove", "update", "pass", "expire", "compact", "delete"])
        if action in ("add", "upsert"):
            new = rng.choice(200, int(rng.choice([1, 7, 80])), replace=False).tolist()
            rows = {
                id: (int(rng.integers(6)), None if rng.random() < 0.3 else now + int(rng.integers(-2, 9))) for id in new
            }
            policy = "replace" if action == "upsert" else "skip"
            index.add(vectors(len(new), step), new, policy, payloads=[payload(*rows[id]) for id in new])
            model.update({id: row for id, row in rows.items() if policy == "replace" or id not in alive})
        elif action == "remove" and model:
            some = rng.choice(list(model), 3).tolist()
            assert index.remove(some, missing="ignore") == len(set(some) & set(alive))
            for id in some:
                model.pop(id, None)
        elif action == "delete":
            assert index.delete({"n": 1}) == sum(model[id][0] == 1 for id in alive)
            model = {id: row for id, row in model.items() if row[0] != 1}
        elif action == "update" and model:
            id = int(rng.choice(list(model)))
            if id in alive:
                until = now + int(rng.integers(1, 9))
                index.update_payload(id, payload(model[id][0], until))
                model[id] = model[id][0], until
            else:
                with pytest.raises(pqstore.UnknownIdError):
                    index.update_payload(id, {"n": 1})
        elif action == "pass":
            clock.microseconds += int(rng.integers(1, 4))
        elif action == "expire":
            waiting = index.stats().expired
            assert index.expire() == waiting
            assert index.stats().expired == 0
        elif action == "compact":
            index.compact()
            assert index.stats().expired == 0
        check(index, model, clock.microseconds)
    assert index.verify(deep=True) == []


def test_a_life_ends_at_its_moment_and_not_before(made: tuple[Any, Clock]) -> None:
    index, clock = made
    index.add(vectors(2), [1, 2], payloads=[payload(1, 1), payload(1, 2)])
    seen = []
    for microseconds in (0, 1, 2, 1, 0):
        clock.microseconds = microseconds
        seen.append(sorted(index))
    assert seen == [[1, 2], [2], [], [2], [1, 2]]


def test_the_same_plain_search_again(made: tuple[Any, Clock]) -> None:
    """Without a commit between them: what was kept of the state for the next search does not outlive an end."""
    index, clock = made
    index.add(vectors(2), [1, 2], payloads=[payload(1, 1), payload(1, None)])
    query, seen = vectors(1)[0], []
    for microseconds in (0, 0, 0, 1, 1, 0):
        clock.microseconds = microseconds
        seen.append(sorted(index.search(query, k=2).ids.tolist()))
    assert seen == [[1, 2]] * 3 + [[-1, 2]] * 2 + [[1, 2]]


def test_a_snapshot_and_a_transaction_have_the_moment_at_which_they_began(made: tuple[Any, Clock]) -> None:
    index, clock = made
    index.add(vectors(3), [1, 2, 3], payloads=[payload(1, 5), payload(1, 9), payload(1, None)])
    with index.snapshot() as before, index.transaction() as txn:
        clock.microseconds = 6
        assert sorted(before) == [1, 2, 3]
        assert len(index) == 2
        assert len(txn) == 3
        assert txn.count({"n": 1}) == 3
        txn.add(vectors(1), [4], payloads=payload(1, 2))
        assert 4 in txn
        assert sorted(before) == [1, 2, 3]
    assert sorted(index) == [2, 3]
    with index.transaction() as txn:
        assert len(txn) == txn.count({"n": 1}) == 2
        assert txn.search(vectors(1)[0], k=5).ids.tolist()[2:] == [-1, -1, -1]


def test_other_handles_go_by_their_own_clock(made: tuple[Any, Clock]) -> None:
    index, clock = made
    index.add(vectors(2), [1, 2], payloads=[payload(1, 5), payload(1, None)])
    clock.microseconds = 5
    with pqstore.Index.open(index.path, readonly=True, clock=START.timestamp) as early:
        assert (len(early), len(index), len(early)) == (2, 1, 2)
        assert index.expire() == 1
        assert (len(early), len(index)) == (1, 1)


def test_an_id_that_has_expired_is_free(made: tuple[Any, Clock]) -> None:
    index, clock = made
    index.add(vectors(2), [1, 2], payloads=[payload(1, 5), payload(1, 5)])
    with pytest.raises(pqstore.DuplicateIdError):
        index.add(vectors(1), [1])
    clock.microseconds = 5
    index.add(vectors(1), [1], payloads={"n": 7})
    assert sorted(index) == [1]
    with pytest.raises(pqstore.UnknownIdError):
        index.remove(2)
    assert index.clear() == 1


def test_other_values_are_refused_whole(made: tuple[Any, Clock]) -> None:
    index, _ = made
    for bad in ("2030-01-01", 1.5, [end(1)], {}, datetime(2030, 1, 1)):
        with pytest.raises(pqstore.InvalidPayloadError):
            index.add(vectors(2), payloads=[payload(1, 5), {"life": {"until": bad}}])
    assert len(index) == 0
    moment = np.datetime64(end(4).replace(tzinfo=None), "us")
    ids = index.add(vectors(3), payloads=[{"life": {"until": None}}, {"life": 3}, {"life": {"until": moment}}])
    with pytest.raises(pqstore.InvalidPayloadError, match=r"has a str in 'life.until'"):
        index.update_payload(ids[0], {"life": {"until": "never"}})
    assert index.verify(deep=True) == []


def test_declared_later_and_taken_away(tmp_path: Path) -> None:
    clock = Clock()
    clock.microseconds = 7
    with pqstore.Index.create(tmp_path / "index", PQ, clock=clock) as index:
        assert index.expiry is None
        assert index.expire() == 0
        index.add(vectors(50), payloads=[{"until": end(at)} for at in range(50)])
        index.add(vectors(1), payloads={"until": "soon"})
        with pytest.raises(pqstore.InvalidPayloadError, match=r"that of 50 is a str"):
            index.set_expiry("until")
        assert (index.expiry, index.fields, len(index)) == (None, (), 51)
        index.remove(50)
        index.set_expiry("until")
        assert (index.expiry, index.fields, len(index)) == ("until", ("until",), 42)
        assert index.verify(deep=True) == []
        index.set_expiry(None)
        clock.microseconds = 20
        assert (index.expiry, len(index)) == (None, 42)  # what had expired by then is gone
        assert index.verify(deep=True) == []
        index.set_expiry("until")
        index.create_field_index("other")
        assert len(index) == index.stats().vectors == 29


def test_training_backup_and_repair_keep_it(tmp_path: Path) -> None:
    clock = Clock()
    with pqstore.Index.create(tmp_path / "index", pqstore.PQ(M=4, Ks=16), dim=D, expiry="until", clock=clock) as index:
        index.add(vectors(60), payloads=[{"until": end(at)} for at in range(60)])
        clock.microseconds = 9
        index.train(threads=1)
        assert (index.expiry, len(index), index.stats().expired) == ("until", 50, 0)
        clock.microseconds = 19
        index.backup(tmp_path / "copy")
        report = pqstore.Index.repair(index.path, tmp_path / "repaired")
        assert (report.rows_salvaged, report.losses) == (50, [])
        for name in ("copy", "repaired"):
            with pqstore.Index.open(tmp_path / name, clock=clock) as other:
                assert (other.expiry, len(other), other.verify(deep=True)) == ("until", 40, [])


def test_handles_keep_their_clock(tmp_path: Path) -> None:
    clock = partial(float, START.timestamp())
    open_it = partial(pqstore.Index.open_or_create, tmp_path / "index", PQ, expiry="until")
    with open_it(clock=clock) as index:
        index.add(vectors(1), payloads={"until": end(1)})
        with pickle.loads(pickle.dumps(index)) as other:
            assert len(other) == 1
    with pytest.raises(ValueError, match=r"expiry='until', not 'end'"):
        open_it(expiry="end")
    with open_it(clock=lambda: START.timestamp() + 1) as index:
        assert len(index) == 0


def test_a_collection_finds_what_lives(tmp_path: Path) -> None:
    clock = Clock()
    with pqstore.Index.create(tmp_path / "index", PQ, expiry="until", clock=clock) as index:
        index.add(vectors(30), payloads=[{"until": end(at)} if at % 2 else None for at in range(30)])
        ids, codes = [], []
        clock.microseconds = 11
        for block, its in index.iter_codes():
            ids += block.tolist()
            codes += its.tolist()
        assert ids == [at for at in range(30) if at % 2 == 0 or at > 11]
        assert len(codes) == len(ids)
