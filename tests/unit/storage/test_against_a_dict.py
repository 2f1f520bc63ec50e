"""Random adds, removals, replacements and reopenings against a dict."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from pqstore.storage import Store
from tests.unit.storage.model import Model
from tests.unit.storage.row_packing import RowPacking


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
