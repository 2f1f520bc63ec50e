"""Pages in the order of ids: whatever happens between them, what is there all the time comes exactly once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pqstore.storage import Limits, Store
from pqstore.storage.rows.id_columns import StringColumn
from pqstore.storage.transactions import id_order
from tests.effort import tries

Create = Callable[..., Store]
SMALL = Limits(run_chunk_entries=600, run_entries=2000, smallest_tier=1024, merge_per_row=3, merge_step=700)


def ids_of(store: Store, numbers: Any) -> np.ndarray:
    batch = np.empty(len(numbers), dtype=np.int64 if store.identity.id_type == "int64" else object)
    batch[:] = [int(n) - 2**62 if store.identity.id_type == "int64" else f"name {n}" for n in numbers]
    return batch


def add(store: Store, numbers: Any) -> None:
    store.change(lambda txn: txn.append(np.zeros((len(numbers), 8), dtype=np.uint8), ids_of(store, numbers)))


def remove(store: Store, numbers: Any) -> None:
    store.change(lambda txn: txn.kill(txn.rows_of(ids_of(store, numbers))))


@pytest.mark.parametrize("few", [0, 65_536])
@pytest.mark.parametrize("id_type", ["int64", "str"])
def test_what_is_there_all_the_time_comes_once(
    create: Create, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, id_type: str, few: int
) -> None:
    """Rows that were rewritten between two pages came again."""
    monkeypatch.setattr(id_order, "_WINDOW", 50)
    monkeypatch.setattr(id_order, "_FEW", few)
    seed = int(np.random.default_rng().integers(2**32))
    print("seed", seed)
    rng = np.random.default_rng(seed)
    for number in range(tries(3, 100)):
        store = create(id_type=id_type, limits=SMALL, path=tmp_path / str(number))
        everything = rng.permutation(6000)
        add(store, everything[:3000])
        add(store, np.arange(6000, 8000))  # a range, where ids are int64
        constant, there = set(everything[:1500].tolist()) | {*range(6500, 7500)}, {*everything[1500:3000].tolist()}
        wanted = rng.random(10_000) < 0.5  # by a filter
        seen: list[Any] = []
        after, filtered = None, bool(rng.random() < 0.5)
        while True:
            with store.read() as snapshot:
                every = np.concatenate([np.empty(0, dtype=object), *snapshot.iter_ids()])
                numbers = np.array([value + 2**62 if id_type == "int64" else int(value[5:]) for value in every])
                chosen = np.sort(snapshot.rows_of(ids_of(store, numbers[wanted[numbers]])))
                page = snapshot.rows_by_id(after, 200, chosen if filtered else None)
                ids = snapshot.ids_of(page).tolist()
            if not ids:
                break
            seen += ids
            after = ids[-1]
            action = rng.choice(["remove", "add", "compact", "nothing"])
            if action == "remove" and there:
                gone = rng.choice(sorted(there), min(len(there), 400), replace=False).tolist()
                remove(store, gone)
                there -= set(gone)
            elif action == "add":
                new = [n for n in rng.integers(8000, 10_000, 300).tolist() if n not in there]
                add(store, sorted(set(new)))
                there |= set(new)
            elif action == "compact":
                store.compact()
        assert len(seen) == len(set(seen))
        told = [n for n in constant if wanted[n] or not filtered]
        assert set(ids_of(store, told).tolist()) <= set(seen)
        if filtered:
            assert all(wanted[value + 2**62 if id_type == "int64" else int(value[5:])] for value in seen)
        if id_type == "int64":
            assert seen == sorted(seen)
        store.close()


def test_ids_of_one_hash_come_in_their_own_order(create: Create, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(StringColumn, "keys", lambda self: np.full(len(self), 7, dtype=np.uint64))
    monkeypatch.setattr(id_order, "_WINDOW", 2)
    store = create(id_type="str")
    names = np.array([f"{n:02}" for n in range(50)], dtype=object)
    store.change(lambda txn: txn.append(np.zeros((50, 8), dtype=np.uint8), np.random.default_rng(0).permutation(names)))
    with store.read() as snapshot:
        for among in (None, np.arange(50)):
            seen: list[str] = []
            while ids := snapshot.ids_of(snapshot.rows_by_id(seen[-1] if seen else None, 7, among)).tolist():
                seen += ids
            assert seen == names.tolist()
    store.close()
