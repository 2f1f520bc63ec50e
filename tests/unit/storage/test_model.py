"""Random adds, removals, replacements and reopenings against a dict."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from pqstore.storage import Store
from pqstore.storage.rows.id_columns import HashKey

from .model import Model
from .row_packing import RowPacking


@pytest.mark.parametrize("id_type", ["int64", "str"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_index_agrees_with_a_dict(
    create: Callable[..., Store], reopen: Callable[..., Store], id_type: str, seed: int
) -> None:
    print("seed", seed)
    rng = np.random.default_rng(seed)
    model = Model(id_type, 8, rng)
    store = create(id_type=id_type)
    for _ in range(25):
        action = rng.integers(0, 5)
        if action <= 1 or not model.rows:
            model.add(store, int(rng.choice([1, 2, 40, 1023, 1024, 1025, 4000])))
        elif action == 2:
            model.remove(store, int(rng.choice([1, 50, 1500])))
        elif action == 3:
            model.replace(store, int(rng.choice([1, 50, 1500])))
        else:
            store.close()
            store = reopen()
        model.check(store)
    store.close()


@pytest.mark.parametrize("width", [8, 300])
def test_rows_added_one_by_one(create: Callable[..., Store], reopen: Callable[..., Store], width: int) -> None:
    # 300 bytes a row make tail chunks of 256 rows, so a segment is sealed out of several
    packing = RowPacking(width)
    model = Model("int64", width, np.random.default_rng(5))
    store = create(packing=packing, bulk=True)  # without waiting for the disk
    for _ in range(1100):
        model.add(store, 1)
    model.check(store)
    assert store.stats().segments == 1
    assert store.stats().tail_rows == 76
    store.close()


def test_colliding_hashes_of_strings_are_told_apart(
    create: Callable[..., Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(HashKey, "bits", 6)  # 64 keys for thousands of ids
    model = Model("str", 8, np.random.default_rng(6))
    store = create(id_type="str", bulk=True)
    for count in (2000, 1, 700):
        model.add(store, count)
        model.remove(store, 300)
        model.replace(store, 300)
        model.check(store)
    store.close()


def test_automatic_ids_are_one_range(create: Callable[..., Store], rng: np.random.Generator) -> None:
    store = create()
    total = 0
    for count in (1, 1022, 1, 5000, 3):
        codes = rng.integers(0, 256, (count, 8), dtype=np.uint8)
        with store.write() as txn:
            rows, ids = txn.append(codes)
        assert rows.tolist() == ids.tolist() == list(range(total, total + count))
        total += count
    stats = store.stats()
    assert (stats.id_ranges, stats.id_runs) == (1, 0)
    with store.read() as snapshot:
        ids = rng.permutation(total)
        assert np.array_equal(snapshot.rows_of(ids), ids)
        assert np.array_equal(snapshot.ids_of(ids), ids)
    with store.write() as txn:
        txn.append(codes[:1], np.array([2**40]))
        assert txn.next_id == 2**40 + 1
    store.close()
