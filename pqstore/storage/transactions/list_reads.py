"""Inverted lists of a state, ready to be searched."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from pqstore.arrays import I64, U8
from pqstore.storage.format.list_state import ListRunInfo, PartitionedRows
from pqstore.storage.format.records import Get
from pqstore.storage.lists.list_runs import U32, ListReader
from pqstore.storage.lists.stored_table import StoredTable, read_table
from pqstore.storage.rows.column_records import StoredChunk
from pqstore.storage.transactions.committed import tail_of
from pqstore.storage.transactions.state_records import StateRecords

__all__ = ["BoundRun", "ListReads", "flat_chunks", "list_reader", "list_table", "pending_segments", "read_lists"]


class BoundRun:
    """A run under a transaction, which reads its chunks when they are first wanted."""

    __slots__ = ("_get", "_reader")

    def __init__(self, reader: ListReader, get: Get) -> None:
        self._reader = reader
        self._get = get

    @property
    def prepared(self) -> Any:
        """What the index room keeps with the run."""
        return self._reader.prepared

    @prepared.setter
    def prepared(self, prepared: Any) -> None:
        self._reader.prepared = prepared

    @property
    def offsets(self) -> U32:
        """uint32 (P + 1): where each list begins."""
        return self._reader.offsets

    @property
    def first_row(self) -> int:
        """What row numbers count from."""
        return self._reader.first_row

    @property
    def chunk_rows(self) -> int:
        """Rows of every chunk but the last."""
        return self._reader.chunk_rows

    def chunk(self, ordinal: int) -> tuple[U8, U32]:
        """(packed codes, row numbers minus `first_row`) of a chunk."""
        return self._reader.chunk(ordinal, self._get)


class ListReads(NamedTuple):
    """What searches of a state read."""

    lists: PartitionedRows
    table: StoredTable
    runs: tuple[BoundRun, ...]
    pending: I64
    """Sealed segments that are in no list."""


def read_lists(records: StateRecords) -> ListReads | None:
    """The lists of a state; None where it has none."""
    state = records.lists
    if state is None or state.current is None:
        return None
    lists = state.current
    runs = tuple(BoundRun(list_reader(records, lists, info), records.get) for info in lists.runs)
    return ListReads(lists, list_table(records, lists), runs, lists.pending(records.table.numbers))


def list_reader(records: StateRecords, lists: PartitionedRows, info: ListRunInfo) -> ListReader:
    """The reader of a run, kept for later transactions."""
    known = records.generation.cache.list_runs
    reader = known.get(info.run)
    if reader is None or reader.info != info:
        reader = known[info.run] = ListReader(info, lists.partitions, records.schema.packing, records.get)
    return reader


def list_table(records: StateRecords, lists: PartitionedRows) -> StoredTable:
    """The partition table, kept for later transactions."""
    known = records.generation.cache.list_tables
    table = known.get(lists.table)
    if table is None:
        table = known[lists.table] = read_table(lists.table, lists.partitions, records.get)
    return table


def flat_chunks(records: StateRecords, segments: I64) -> tuple[StoredChunk, ...]:
    """Packed codes of sealed segments, and of the tail."""
    geometry = records.schema.geometry
    sealed = [
        StoredChunk(records.codes(segment), geometry.segment_rows, geometry.first_row(segment), records.bitmap(segment))
        for segment in segments.tolist()
    ]
    return (*sealed, *tail_of(records))


def pending_segments(records: StateRecords, lists: PartitionedRows) -> I64:
    """Sealed segments with a live row that are in no list yet."""
    entries, rows = records.table.entries, records.schema.geometry.segment_rows
    pending = [segment for segment in lists.pending(records.table.numbers).tolist() if entries[segment].dead < rows]
    return np.array(pending, dtype=np.int64)
