"""Rows put into codes of another kind: ids, payloads, originals, sets, notes and counters stay."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pqstore.storage import Rebuild, Snapshot, Store
from tests.unit.storage.attached import FIELDS, attached, check_attached, row_bytes
from tests.unit.storage.row_packing import RowPacking

WIDE = RowPacking(8)


def plan(snapshot: Snapshot) -> Rebuild:
    """Every code plus one."""
    identity = snapshot.records.schema.identity
    return Rebuild(
        settings={**identity.settings, "turn": identity.settings.get("turn", 0) + 1},
        arrays={"codewords": snapshot.records.arrays()["codewords"] + 1},
        packing=WIDE,
        row_bytes=identity.row_bytes,
        features=(),
        convert=lambda state, rows: (state.codes_of(rows), state.originals_of(rows)),
        dropped_notes=("gone",),
        segment_rows=identity.segment_rows,
    )


def test_everything_stays(create: Callable[..., Store], reopen: Callable[..., Store], rng: np.random.Generator) -> None:
    codes = rng.integers(0, 256, (3000, 8), dtype=np.uint8)
    with create(row_bytes=row_bytes(8), fields=FIELDS) as store:
        with store.write() as txn:
            txn.append(codes, np.arange(3000), **attached(codes))
            txn.save_set("some", np.arange(0, 50, 7))
            txn.set_note("kept", {"a": 1})
            txn.set_note("gone", 2)
        with store.write() as txn:
            txn.kill(np.arange(2990, 3000))
        with store.read() as before:
            store.rebuild(plan)
            with store.read() as snapshot:
                assert snapshot.version > before.version
                assert snapshot.live_rows == before.live_rows == 2990
                rows = snapshot.rows_of(np.arange(2990))
                assert np.array_equal(snapshot.codes_of(rows), codes[:2990])
                check_attached(snapshot, rows)
                assert snapshot.saved_set("some").tolist() == list(range(0, 50, 7))
                assert dict(snapshot.catalog.notes) == {"kept": {"a": 1}}
                assert snapshot.records.schema.identity.settings["turn"] == 1
                assert snapshot.records.arrays()["codewords"][0, 0] == 1
                assert snapshot.records.state.next_id == 3000
            assert np.array_equal(before.codes_of(np.arange(3000)), codes)
        assert store.verify(deep=True) == []
        store.rebuild(plan)
    with reopen() as store, store.read() as snapshot:
        assert snapshot.records.schema.identity.settings["turn"] == 2
        assert snapshot.live_rows == 2990


def test_what_the_plan_raises_changes_nothing(create: Callable[..., Store], path: Path) -> None:
    def refused(state: object, rows: object) -> tuple[np.ndarray, None]:
        raise OSError("mine")

    with create() as store:
        with store.write() as txn:
            txn.append(np.zeros((5, 8), dtype=np.uint8))
        for wrong in (lambda s: replace(plan(s), convert=refused), lambda s: 1 / 0):
            with pytest.raises((OSError, ZeroDivisionError), match=r"mine|zero"):
                store.rebuild(wrong)
            assert [entry.name for entry in path.iterdir() if entry.is_dir()] == ["generation-00000001"]
        with store.write() as txn:
            txn.append(np.zeros((5, 8), dtype=np.uint8))
        assert store.stats().live_rows == 10
