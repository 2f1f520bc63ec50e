"""Ids whose hashes are equal are told apart."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from pqstore.storage import Store
from pqstore.storage.rows.id_columns import HashKey
from tests.unit.storage.model import Model


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
