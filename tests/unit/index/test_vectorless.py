"""Rows without a vector: seen by everything but searches, whatever happens to the index."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import pqstore
from pqstore.storage import store as storage
from tests.effort import tries

D = 8
TRAIN = np.random.default_rng(3).integers(0, 40, (300, D)).astype(np.float32)


def vectors(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(1, 9, (count, D)).astype(np.float32)


def small_segments(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(storage, "segment_rows_for", lambda packing: 64)
    patch.setattr(storage, "chunk_rows_for", lambda packing: 32)


@pytest.fixture(params=["exact", "exact, cosine", "codes", "codes, dot", "originals", "originals, cosine"])
def index(tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> pqstore.Index:
    small_segments(monkeypatch)
    store, _, metric = request.param.partition(", ")
    pq = None if store == "exact" else pqstore.PQ(M=4, Ks=16, verbose=False).fit(TRAIN, iter=2)
    kept = "float32" if store == "originals" else "default" if pq is None else None
    return pqstore.Index.create(
        tmp_path / "index", pq, metric=metric or "l2", dim=D, originals=kept, train="manual", fields=["n"]
    )


def check(index: pqstore.Index, model: dict) -> None:
    """`model`: id -> (vector or None, payload)."""
    assert len(index) == len(model) == index.count()
    assert {record.id: record.payload for record in index.scroll(limit=9999).records} == {
        id: payload for id, (_, payload) in model.items()
    }
    some = [id for id, (vector, _) in model.items() if vector is not None]
    for k, where in ((1, None), (len(model) + 5, None), (7, {"n": {"$lt": 3}}), (7, {"n": {"$ne": 1}})):
        result = index.search(np.ones((2, D)), k=k, where=where)
        wanted = [id for id in some if where is None or holds(where, model[id][1])]
        for ids, distances in zip(*result, strict=True):
            found = ids[np.isfinite(distances)].tolist()
            assert set(found) <= set(wanted)
            assert len(found) == min(k, len(wanted))
    assert set(index.range_search(np.ones(D), np.inf if index.metric == "l2" else -np.inf).ids.tolist()) == set(some)
    for id, record in zip(model, index.get(list(model)), strict=True):
        assert (record.vector is None) == (model[id][0] is None)
        assert record.payload == model[id][1]
        assert record.is_original == ((model[id][0] is not None and index.originals is not None) or False) or (
            index.phase == "exact"
        )
    assert index.count({"n": {"$gte": 0}}) == sum("n" in (payload or {}) for _, payload in model.values())
    assert index.verify(deep=True) == []


def holds(where: dict, payload: dict | None) -> bool:
    n = (payload or {}).get("n")
    return n != 1 if "$ne" in where["n"] else n is not None and n < 3


def payload_of(rng: np.random.Generator) -> dict | None:
    return [None, {}, {"n": int(rng.integers(0, 5))}, {"n": 1, "text": "x" * int(rng.integers(0, 50))}][rng.integers(4)]


@pytest.mark.parametrize("seed", range(tries(3, 50)))
def test_any_history(index: pqstore.Index, tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng, model = np.random.default_rng(seed), {}
    for _ in range(14):
        what = rng.choice(["add", "add", "mixed", "none", "vector", "payload", "remove", "compact", "transaction"])
        ids = rng.choice(300, int(rng.integers(1, 50)), replace=False).tolist()
        known = [id for id in ids if id in model]
        rows = vectors(len(ids), int(rng.integers(1000)))
        payloads = [payload_of(rng) for _ in ids]
        missing = rng.random(len(ids)) < {"mixed": 0.5, "none": 1}.get(str(what), 0)
        given = [None if gone else row for gone, row in zip(missing, rows, strict=True)]
        if what in ("add", "mixed", "none"):
            index.add(rows if what == "add" else given, ids, "replace", payloads=payloads)
            model |= {id: (v, p) for id, v, p in zip(ids, given, payloads, strict=True)}
        elif what == "vector" and known:
            gone = rng.random(len(known)) < 0.3
            new = [None if away else row for away, row in zip(gone, rows, strict=False)]
            assert index.update_vector(known, new) == len(known)
            model |= {id: (v, model[id][1]) for id, v in zip(known, new, strict=True)}
        elif what == "payload" and known:
            index.update_payload(known, {"n": 2})
            model |= {id: (model[id][0], {**(model[id][1] or {}), "n": 2}) for id in known}
        elif what == "remove":
            index.remove(ids, missing="ignore")
            model = {id: entry for id, entry in model.items() if id not in ids}
        elif what == "compact":
            index.compact()
        elif what == "transaction":
            with index.transaction() as txn:
                txn.add(rows, ids, "replace", payloads=payloads)
                txn.add([None], [999], "replace", payloads=[{"n": 4}])
                assert 999 not in txn.search(np.ones(D), k=400).ids
                txn.update_vector(ids[0], None)
            model |= {id: (v, p) for id, v, p in zip(ids, rows, payloads, strict=True)}
            model |= {999: (None, {"n": 4}), ids[0]: (None, payloads[0])}
        check(index, model)
    with index.snapshot() as view:
        index.clear()
        assert set(view.search(np.ones(D), k=400).ids.tolist()) - {-1} == {
            i for i, (v, _) in model.items() if v is not None
        }
    check(index, {})


def test_copies_keep_them(index: pqstore.Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = vectors(150)
    given = [None if n % 3 == 0 else row for n, row in enumerate(rows)]
    payloads = [{"n": n} if n % 2 else None for n in range(150)]
    index.add(given, payloads=payloads)
    model = {n: (given[n], payloads[n]) for n in range(150)}
    check(index, model)
    index.backup(tmp_path / "backup")
    with pqstore.Index.open(tmp_path / "backup") as backup:
        check(backup, model)
    pqstore.Index.repair(tmp_path / "index", tmp_path / "repaired")
    with pqstore.Index.open(tmp_path / "repaired") as repaired:
        check(repaired, model)
    index.close()
    with pqstore.Index.open(tmp_path / "index", readonly=True) as again:
        check(again, model)


def test_training_leaves_them_out(tmp_path: Path) -> None:
    rows = vectors(400, 5)
    with pqstore.Index.create(tmp_path / "index", pqstore.PQ(M=4, Ks=16, verbose=False), dim=D, train_at=300) as index:
        index.add(None, payloads=[{"n": n} for n in range(290)])
        index.add(rows[:299])
        assert index.phase == "exact", "rows without a vector do not count"
        index.update_vector(0, rows[299])
        assert index.phase == "codes"
        assert index.stats().trained_on == 300
        assert (index.quantizer.codewords >= 0.9).all(), "no codeword was drawn to the zeros"
        model = {n: (None, {"n": n}) for n in range(290)} | {290 + n: (rows[n], None) for n in range(299)}
        model[0] = (rows[299], {"n": 0})
        check(index, model)
        index.retrain(pqstore.PQ(M=2, Ks=32, verbose=False))
        check(index, model)
        assert index.recall_report(rows[:5], quiet=True).vectors == 300
        index.calibrate(rows[:30], 0.9, 5)
        assert sum(len(ids) for ids, _ in index.iter_codes()) == 300
        with pytest.raises(pqstore.NoVectorError, match=r"2 of the ids have no vector: 5, 6"):
            index.codes([5, 300, 6])
        with pytest.raises(pqstore.NoVectorError, match="update_vector"):
            index.reconstruct(5)


def test_lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_segments(monkeypatch)
    pq = pqstore.PQ(M=4, Ks=16, verbose=False).fit(TRAIN, iter=2)
    rows = vectors(500, 7)
    given = [None if n % 5 == 0 else row for n, row in enumerate(rows)]
    with pqstore.Index.create(tmp_path / "index", pq) as index:
        index.add(given)
        index.partition(8)
        model = {n: (row, None) for n, row in enumerate(given)}
        check(index, model)
        for nprobe in (1, 3, 8, "all"):
            ids = index.search(rows[:20], k=9, nprobe=nprobe).ids
            assert (ids[ids >= 0] % 5 != 0).all()


def test_their_number(tmp_path: Path) -> None:
    with pqstore.Index.create(tmp_path / "index", dim=D, id_type="str") as index:
        assert index.add(None, ["a", "b"]).tolist() == ["a", "b"]
        assert index.add(None, "c").tolist() == ["c"]
        assert len(index.add(None, payloads={"n": 1})) == 1
        assert len(index.add(None, payloads=({"n": n} for n in range(3)))) == 3
        assert len(index.add([None, None])) == 2
        assert index.upsert(None, ["a"], payloads=[{"n": 9}]).tolist() == ["a"]
        assert index.get("a").payload == {"n": 9}
        assert len(index) == 9


def test_what_cannot_be_meant(index: pqstore.Index) -> None:
    index.add(vectors(3))
    for bad in (
        lambda: index.add(None),
        lambda: index.add(None, payloads=7),
        lambda: index.add([None, None], payloads=[{}]),
        lambda: index.add([None], payloads=[7]),
        lambda: index.add([None, [1.0]]),
        lambda: index.update_vector([0, 1], None),
        lambda: index.update_vector([0, 1], [None]),
        lambda: index.update_vector([0, 0], [None, None]),
        lambda: index.update_vector(0, [float("nan")] * D),
        lambda: index.update_vector(0, iter([vectors(1)])),
    ):
        with pytest.raises((ValueError, TypeError)):
            bad()
    with pytest.raises(pqstore.UnknownIdError):
        index.update_vector([0, 7], vectors(2))
    check(index, {n: (row, None) for n, row in enumerate(vectors(3))})
    assert index.stats().fields == ("n",)


def test_an_index_without_them_is_as_before(index: pqstore.Index) -> None:
    from pqstore.storage import VECTORLESS_KEY

    index.add(vectors(3), payloads=[{"n": 1}] * 3)
    with index._store.read() as snapshot:
        assert VECTORLESS_KEY not in snapshot.catalog.names
        assert VECTORLESS_KEY not in snapshot.catalog.fields


@pytest.mark.parametrize("metric", ["l2", "dot", "cosine"])
def test_of_every_metric_through_training(tmp_path: Path, metric: str) -> None:
    """A vector of zeros stood in their place, which "cosine" refuses: to add them, and to train beside them."""
    some = np.random.default_rng(5).standard_normal((400, D)).astype(np.float32)
    wish = pqstore.PQ(M=4, Ks=16, verbose=False)
    with pqstore.Index.create(tmp_path / "index", wish, dim=D, metric=metric, train_at=300, fields=["n"]) as index:
        bare = index.add(None, payloads=[{"n": 1}] * 20)
        index.add([None, some[0], None], payloads=[{"n": 2}] * 3)
        index.add(some[1:], payloads=[{"n": 3}] * 399)
        assert (index.phase, index.stats().faults) == ("codes", ())
        index.add(None, payloads=[{"n": 4}])
        index.retrain(pqstore.PQ(M=2, Ks=16, verbose=False))
        assert [index.count({"n": n}) for n in (1, 2, 3, 4)] == [20, 3, 399, 1]
        assert not set(index.search(np.eye(1, D), k=400).ids[0].tolist()) & set(bare.tolist())
        assert index.get(bare[0]).vector is None
        assert index.verify(deep=True) == []


@pytest.mark.parametrize("first", [True, False])
def test_no_payload_says_by_itself_that_its_row_has_no_vector(tmp_path: Path, first: bool) -> None:
    """A payload with the key by which that is stored hid its vector from every search, or made `verify` complain."""
    lies: dict = {"$pqstore vectorless": True}
    with pqstore.Index.create(tmp_path / "i", dim=D, train="manual") as index:
        index.add(vectors(2), [1, 2], payloads=[{"n": 1}, None])
        if not first:
            index.add(None, [3])
        before = index.scroll(limit=9).records
        attempts = (
            lambda: index.add(vectors(1), [4], payloads=[lies]),
            lambda: index.add(vectors(1), [4], payloads=lies),
            lambda: index.add(vectors(1), [4], payloads=iter([lies])),
            lambda: index.add(vectors(1), [4], payloads=np.array([lies], dtype=object)),
            lambda: index.add(None, [4], payloads=[lies]),
            lambda: index.upsert([None, vectors(1)[0]], [4, 5], payloads=[None, lies]),
            lambda: index.update_payload([1], [lies]),
            lambda: index.update_payload([1], lies, merge=True),
            lambda: index.update_payload(payloads=lies, where={"n": 1}),
        )
        for attempt in attempts:
            with pytest.raises(pqstore.InvalidPayloadError, match="which only pqstore may use"):
                attempt()
        assert index.scroll(limit=9).records == before
        assert index.verify(deep=True) == []
