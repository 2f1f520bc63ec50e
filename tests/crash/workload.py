"""A reproducible sequence of changes, and what an index holds after each of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from pqstore.storage import Limits, Rebuild, Snapshot, Store
from tests.unit.storage.attached import FIELDS, attached, check_attached, check_set, row_bytes, save_some
from tests.unit.storage.listed import assign, check_lists, make_lists, remove_lists
from tests.unit.storage.row_packing import RowPacking

PACKING = RowPacking(8)
Rows = dict[int, bytes]

# Staging, runs of several chunks and merges of several steps at every turn.
OFTEN = Limits(
    run_chunk_entries=600,
    set_chunk_ids=50,
    stage_bytes=40_000,
    run_entries=2000,
    smallest_tier=1024,
    merge_per_row=3,
    merge_saved=0,
    merge_step=700,
    merge_at_once=1500,
    list_smallest_tier=1024,
    list_run_rows=2048,
    list_slice=300,
    list_step=700,
    list_at_once=900,
)


class Change(NamedTuple):
    """One call, one transaction."""

    action: Literal["add", "remove", "replace", "compact", "rebuild", "partition", "drop"]
    ids: np.ndarray
    codes: np.ndarray


def changes(seed: int) -> Iterator[tuple[Change, Rows]]:
    """Changes without end, each with the rows that an index holds after it (one dict, changed in place)."""
    rng = np.random.default_rng(seed)
    rows: Rows = {}
    while True:
        actions = ["add", "add", "remove", "replace", "compact", "rebuild", "partition", "drop"]
        action = rng.choice(actions, p=[0.25, 0.2, 0.15, 0.15, 0.07, 0.06, 0.07, 0.05])
        if action == "add" or not rows:
            action = "add"
            count = int(rng.choice([1, 3, 100, 1100, 3000]))
            ids = rng.integers(-(2**63), 2**63 - 1, count)
        else:
            known = np.fromiter(rows, dtype=np.int64)
            ids = rng.choice(known, min(len(known), int(rng.choice([1, 20, 1000]))), replace=False)
        codes = rng.integers(0, 256, (len(ids), 8), dtype=np.uint8)
        if action == "remove":
            for identifier in ids.tolist():
                del rows[identifier]
        elif action in ("add", "replace"):
            rows.update({identifier: code.tobytes() for identifier, code in zip(ids.tolist(), codes, strict=True)})
        yield Change(action, ids, codes), rows  # type: ignore[arg-type]


def apply(store: Store, change: Change) -> None:
    """Do it; durable when this returns."""
    store.assign_with(assign)
    if change.action == "compact":
        store.compact()
        return
    if change.action == "rebuild":
        store.rebuild(same_again)
        return
    if change.action == "partition":
        make_lists(store)
        return
    if change.action == "drop":
        remove_lists(store)
        return
    with store.write() as txn:
        if change.action in ("remove", "replace"):
            txn.kill(txn.rows_of(change.ids))
        if change.action in ("add", "replace"):
            txn.append(change.codes, change.ids, **attached(change.codes))
        save_some(txn)


def same_again(snapshot: Snapshot) -> Rebuild:
    """All rows as they are, in another generation."""
    identity = snapshot.records.schema.identity
    return Rebuild(
        settings=identity.settings,
        arrays=snapshot.records.arrays(),
        packing=PACKING,
        row_bytes=identity.row_bytes,
        features=(),
        convert=lambda state, rows: (state.codes_of(rows), state.originals_of(rows) if identity.row_bytes else None),
        segment_rows=identity.segment_rows,
    )


def create(path: Path, **options: Any) -> Store:
    options = {"segment_rows": 1024, "row_bytes": row_bytes(8), "fields": FIELDS, **options}
    return Store.create(path, {}, {"codewords": np.arange(4.0)}, PACKING, **options)


def check(path: Path, expected: Rows, **options: Any) -> None:
    """The index holds exactly these rows, and is sound."""
    with Store.open(path, lambda _: PACKING, **options) as store:
        assert store.verify(deep=True) == []
        with store.read() as snapshot:
            assert contents(snapshot) == expected


def contents(snapshot: Any) -> Rows:
    """id -> code of every live row; what rows bring with them is checked on the way."""
    ids = np.concatenate([np.empty(0, dtype=np.int64), *snapshot.iter_ids()])
    rows = snapshot.rows_of(ids)
    codes = snapshot.codes_of(rows)
    check_attached(snapshot, rows)
    check_set(snapshot)
    check_lists(snapshot)
    return {identifier: code.tobytes() for identifier, code in zip(ids.tolist(), codes, strict=True)}
