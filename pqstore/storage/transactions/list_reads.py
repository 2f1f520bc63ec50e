"""Inverted lists of a state, ready to be searched."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pqstore.arrays import I64
from pqstore.storage.format.list_state import ListRunInfo, PartitionedRows
from pqstore.storage.lists.list_runs import ListReader
from pqstore.storage.lists.stored_table import StoredTable, read_table
from pqstore.storage.rows.column_records import StoredChunk
from pqstore.storage.transactions.committed import tail_of
from pqstore.storage.transactions.state_records import StateRecords

__all__ = ["ListReads", "flat_chunks", "list_reader", "list_table", "pending_segments", "read_lists"]


class ListReads(NamedTuple):
    """What searches of a state read."""

    lists: PartitionedRows
    table: StoredTable
    runs: tuple[ListReader, ...]
    """Their chunks must be read under a transaction: see `Snapshot.list_chunk`."""
    pending: I64
    """Sealed segments that are in no list."""


def read_lists(records: StateRecords) -> ListReads | None:
    """The lists of a state; None where it has none."""
    state = records.lists
    if state is None or state.current is None:
        return None
    lists = state.current
    runs = tuple(list_reader(records, lists, info) for info in lists.runs)
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
