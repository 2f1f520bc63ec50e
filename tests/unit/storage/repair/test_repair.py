"""The repair of a sound index is a copy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from pqstore.storage import Store, repair
from tests.unit.storage.model import Model
from tests.unit.storage.row_packing import RowPacking

Create = Callable[..., Store]


def test_repair_of_a_sound_index_is_a_copy(create: Create, reopen: Create, model: Model, tmp_path: Path) -> None:
    store = create(id_type=model.id_type, arrays={"codewords": np.arange(6.0)}, settings={"M": 8})
    model.add(store, 5000)
    model.remove(store, 700)
    model.replace(store, 300)
    store.close()
    report = repair(store.path, tmp_path / "new", lambda _: RowPacking(8))
    assert (report.losses, report.rows_lost, report.rows_salvaged) == ([], 0, 4300)
    store = reopen(path=tmp_path / "new")
    assert store.arrays()["codewords"].tolist() == list(range(6))
    model.check(store)
    assert store.verify(deep=True) == []
    store.close()
