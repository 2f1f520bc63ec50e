"""Making lists: a table trained from the codes, then runs of all rows, in transactions beside readers and writers."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pqstore.arrays import F32, I64
from pqstore.errors import PQStoreError, TrainingError
from pqstore.index.arguments.counts import as_count
from pqstore.index.code_space import CodeSpace
from pqstore.index.lists.assigning import PartitionAssigner, decoded_codewords
from pqstore.kernels import resolve_threads
from pqstore.progress import Progress, ProgressStep, no_progress
from pqstore.quantizer import as_vectors
from pqstore.quantizer.partitions import (
    MAX_PARTITIONS,
    ROWS_PER_PARTITION,
    PartitionTable,
    table_around,
    train_partitions,
)
from pqstore.storage import (
    Snapshot,
    SnapshotLists,
    Store,
    StoredTable,
    WriteTransaction,
    begin_lists,
    drop_lists,
    fill_lists,
)

__all__ = ["PartitionReport", "automatic_partitions", "partition", "partition_around"]

_FEWEST, _ROWS_EACH, _OF_ROOT = 256, 100, 8


@dataclass(frozen=True, slots=True)
class PartitionReport:
    """What `Index.partition` has made."""

    partitions: int
    """0: the lists were dropped."""
    rows: int
    """Rows in lists."""
    trained_on: int
    """Rows that the table was trained on; 0 where an unfinished call was gone on with."""

    def __str__(self) -> str:
        if self.partitions == 0:
            return "no lists: every search reads all codes"
        each = self.rows / self.partitions
        return f"{self.rows:,} rows in {self.partitions:,} lists of {each:,.0f} in the mean"


def automatic_partitions(rows: int) -> int:
    """How many partitions so many rows deserve: the power of two next to the less of 8 sqrt(rows) and rows / 100."""
    wanted = max(1.0, min(_OF_ROOT * math.sqrt(rows), rows / _ROWS_EACH))
    nearest = 1 << round(math.log2(wanted))
    return max(1, min(MAX_PARTITIONS, max(nearest, min(_FEWEST, rows // 8)), max(1, rows)))


def partition(
    store: Store,
    space: CodeSpace,
    partitions: Any,
    sample: Any,
    threads: int | None,
    timeout: float | None,
    progress: Progress = no_progress,
) -> PartitionReport:
    """See `pqstore.Index.partition`."""
    if partitions is None:
        store.change(drop_lists, timeout)
        return PartitionReport(0, 0, 0)
    workers = resolve_threads(threads)
    if isinstance(partitions, np.ndarray):
        return _around(store, space, _as_centroids(partitions, space), workers, timeout, progress)
    with store.read() as snapshot:
        count = _as_partitions(partitions, snapshot.live_rows)
        rows = _sample(snapshot, None if sample is None else as_count(sample, "sample"), count)
        goes_on = SnapshotLists(snapshot).begun_partitions() == count
        created = snapshot.records.schema.identity.created
        table = None if goes_on else _trained(snapshot, space, rows, count, workers)
    listed = _fill(store, space, created, table, workers, timeout, progress)
    return PartitionReport(count, listed, 0 if goes_on else len(rows))


def partition_around(store: Store, space: CodeSpace, centroids: F32) -> None:
    """Make lists around given centroids, float32 (P, D) in the space of the codewords. Nothing happens where there are
    fewer rows, or more centroids than an index can have partitions."""
    with store.read() as snapshot:
        if not 1 <= len(centroids) <= min(MAX_PARTITIONS, snapshot.live_rows):
            return
    _around(store, space, centroids, resolve_threads(None), None, no_progress)


def _around(
    store: Store, space: CodeSpace, centroids: F32, threads: int, timeout: float | None, progress: Progress
) -> PartitionReport:
    with store.read() as snapshot:
        rows = _sample(snapshot, None, len(centroids))
        created = snapshot.records.schema.identity.created
        table = table_around(centroids, _vectors_at(snapshot, space, rows), len(rows), threads=threads)
    return PartitionReport(len(centroids), _fill(store, space, created, table, threads, timeout, progress), 0)


def _as_centroids(given: npt.NDArray[Any], space: CodeSpace) -> F32:
    """Centroids float32 (P, D).

    Raises:
        DimensionError, InvalidVectorError: they are not of this space. ValueError: there are too many, or none.
    """
    centroids = as_vectors(given, space.D, "centroids")
    if not 1 <= len(centroids) <= MAX_PARTITIONS:
        raise ValueError(f"there must be 1 to {MAX_PARTITIONS:,} centroids, got {len(centroids):,}")
    return centroids


def _fill(
    store: Store,
    space: CodeSpace,
    created: float,
    table: PartitionTable | None,
    threads: int,
    timeout: float | None,
    progress: Progress,
) -> int:
    """Make the lists of a table, or go on with those that were begun, in the generation that was created then. Returns
    how many rows are in lists.

    Raises:
        PQStoreError: the index was rebuilt since: its codes mean something else.
    """

    def checked(txn: WriteTransaction) -> WriteTransaction:
        if txn.schema.identity.created != created:
            raise PQStoreError(f"index at {store.path}: it was rebuilt meanwhile; partition it again")
        return txn

    if table is not None:
        stored = StoredTable(table.stored, table.exponent, table.spreads, table.groups, table.first)
        store.change(lambda txn: begin_lists(checked(txn), stored), timeout)
    with _assigning(store, space, created, threads):
        merged: set[int] = set()
        while not store.change(lambda txn: fill_lists(checked(txn), merged), timeout):
            with store.read() as snapshot:
                progress(ProgressStep("lists", *SnapshotLists(snapshot).begun_rows()))
    with store.read() as snapshot:
        lists = SnapshotLists(snapshot).read()
        return 0 if lists is None else lists.lists.rows


class _assigning:  # noqa: N801 - reads as the statement that it is
    """Assignment with several threads, for a `with` block."""

    def __init__(self, store: Store, space: CodeSpace, created: float, threads: int) -> None:
        self._store, self._space, self._created, self._threads = store, space, created, threads

    def __enter__(self) -> None:
        assigner = PartitionAssigner(self._space)
        assigner.threads = self._threads
        self._store.assign_with(assigner, self._created)

    def __exit__(self, *_: object) -> None:
        self._store.assign_with(PartitionAssigner(self._space), self._created)


def _as_partitions(partitions: Any, rows: int) -> int:
    """How many partitions to make.

    Raises:
        TypeError, ValueError: it is no number of partitions. TrainingError: there are fewer rows.
    """
    if isinstance(partitions, str):
        if partitions != "auto":
            raise ValueError(f"partitions must be a number, 'auto' or None, got {partitions!r}")
        count = automatic_partitions(rows)
    elif isinstance(partitions, bool):
        raise TypeError("partitions must be a number, 'auto' or None, got a bool")
    else:
        count = as_count(partitions, "partitions")
        if count > MAX_PARTITIONS:
            raise ValueError(f"partitions must be at most {MAX_PARTITIONS:,}, got {count:,}")
    if rows < count:
        raise TrainingError(f"{count:,} partitions need at least as many vectors, and the index has {rows:,}")
    return count


def _sample(snapshot: Snapshot, sample: int | None, partitions: int) -> I64:
    """Live rows to train on, spread evenly over all: int64, ascending."""
    wanted = max(partitions, ROWS_PER_PARTITION * partitions if sample is None else sample)
    return snapshot.rows.spread(wanted)


def _trained(snapshot: Snapshot, space: CodeSpace, rows: I64, partitions: int, threads: int) -> PartitionTable:
    return train_partitions(_vectors_at(snapshot, space, rows), len(rows), partitions, threads=threads)


def _vectors_at(snapshot: Snapshot, space: CodeSpace, rows: I64) -> Callable[[I64], F32]:
    """What gives the vectors of rows by their places, decoded."""
    codes = snapshot.codes_of(rows)
    return lambda positions: decoded_codewords(space, codes[positions])
