"""Inverted lists whose partitions follow from a code, so that a test can tell where a row must be."""

from __future__ import annotations

from typing import Any

import numpy as np

from pqstore.storage import Snapshot, SnapshotLists, Store, StoredTable, begin_lists, drop_lists, fill_lists
from pqstore.storage.rows.tombstones import live_positions
from pqstore.storage.transactions.row_reads import are_live

PARTITIONS = 16


def assign(number: int, table: StoredTable, codes: np.ndarray) -> np.ndarray:
    """By the first byte of a code."""
    assert len(table.stored) == PARTITIONS
    return codes[:, 0].astype(np.int64) % PARTITIONS


def table(seed: int = 0) -> StoredTable:
    rng = np.random.default_rng(seed)
    return StoredTable(
        rng.standard_normal((PARTITIONS, 40)).astype(np.float16),
        -3,
        rng.random(PARTITIONS, dtype=np.float32),
        rng.standard_normal((3, 40)).astype(np.float32),
        np.array([0, 5, 5, PARTITIONS]),
    )


def make_lists(store: Store, seed: int = 0) -> None:
    """As `Index.partition` does."""
    store.assign_with(assign)
    store.change(lambda txn: begin_lists(txn, table(seed)))
    merged: set[int] = set()
    while not store.change(lambda txn: fill_lists(txn, merged)):
        pass


def remove_lists(store: Store) -> None:
    store.change(drop_lists)


def rows_in_lists(snapshot: Snapshot) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(rows, their codes, their partitions) of all lists; dead rows too."""
    reads = SnapshotLists(snapshot).read()
    rows, codes, partitions = [], [], []
    for run in () if reads is None else reads.runs:
        count = int(run.offsets[-1])
        for ordinal, start in enumerate(range(0, count, run.chunk_rows)):
            packed, numbers = SnapshotLists(snapshot).chunk(run, ordinal)
            rows.append(numbers.astype(np.int64) + run.first_row)
            codes.append(snapshot.records.schema.packing.unpack(packed, len(numbers)))
            places = np.arange(start, start + len(numbers))
            partitions.append(np.searchsorted(run.offsets, places, side="right") - 1)
    if not rows:
        return np.empty(0, np.int64), np.empty((0, 1), np.uint8), np.empty(0, np.int64)
    return np.concatenate(rows), np.concatenate(codes), np.concatenate(partitions)


def check_lists(snapshot: Snapshot) -> int:
    """Every live row of the sealed segments that are not pending is in one list, the right one. How many there are."""
    reads: Any = SnapshotLists(snapshot).read()
    if reads is None:
        return 0
    assert np.array_equal(reads.table.stored.shape, (PARTITIONS, 40))
    rows, codes, partitions = rows_in_lists(snapshot)
    live = are_live(snapshot.records, rows)
    rows, codes, partitions = rows[live], codes[live], partitions[live]
    expected = [np.empty(0, dtype=np.int64)]
    for segment in set(snapshot.records.table.entries) - set(reads.pending.tolist()):
        positions = live_positions(snapshot.records.bitmap(segment), snapshot.records.schema.geometry.segment_rows)
        expected.append(positions + segment * snapshot.records.schema.geometry.segment_rows)
    np.testing.assert_array_equal(np.sort(rows), np.sort(np.concatenate(expected)))
    if len(rows):
        np.testing.assert_array_equal(codes, snapshot.codes_of(rows))
        np.testing.assert_array_equal(partitions, codes[:, 0] % PARTITIONS)
    return len(rows)
