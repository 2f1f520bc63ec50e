"""What a write transaction sees: a committed state, and over it the changes that wait in memory for the commit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from pqstore.arrays import I64, U8
from pqstore.storage.disk.environment import Environment
from pqstore.storage.format.segment_table import SegmentEntry, SegmentTable
from pqstore.storage.format.state import RunInfo, State
from pqstore.storage.idmap.recent import RecentKeys
from pqstore.storage.idmap.runs import RunReader
from pqstore.storage.idmap.search import KeyIndex
from pqstore.storage.rows.column_records import StoredChunk, read_codes, read_ids
from pqstore.storage.rows.id_columns import IdColumn
from pqstore.storage.transactions.open_index import Lease
from pqstore.storage.transactions.snapshot import Shape, Snapshot

__all__ = ["ChangedState"]


class ChangedState(Snapshot):
    """Every read of a snapshot, with the changes among the answers. `WriteTransaction` makes them."""

    def __init__(self, shape: Shape, environment: Environment, txn: Any, lease: Lease) -> None:
        super().__init__(shape, environment, txn, lease)
        self._base = self._committed.state
        self._current = self._base
        self._changed: dict[int, SegmentEntry | None] = {}  # None: the segment is gone
        self._current_table: SegmentTable | None = self._committed.table
        self._bitmaps: dict[int, U8] = {}
        self._tail: dict[int, tuple[U8, IdColumn]] = {}  # by chunk
        self._waiting_keys = RecentKeys()  # of sealed rows that are in no run yet
        self._tail_recent: RecentKeys | None = None
        self._private_runs: dict[int, RunReader] = {}

    def _transaction_number(self) -> int:
        return int(self._txn.id()) - 1  # of the state that it changes

    @property
    def base(self) -> State:
        """The committed state that is changed (for this room)."""
        return self._base

    @property
    def state(self) -> State:
        return self._current

    @property
    def table(self) -> SegmentTable:
        if self._current_table is None:
            self._current_table = self._committed.table.with_changes(self._changed, self._commit_number)
        return self._current_table

    @property
    def _commit_number(self) -> int:
        return self._base.commit + 1

    def _change_segment(self, segment: int, entry: SegmentEntry | None) -> None:
        self._changed[segment] = entry
        self._current_table = None

    def _codes(self, segment: int) -> U8:
        if segment < self._base.open_segment:
            return super()._codes(segment)
        return read_codes(self._get, segment, self._shape.full_size, self._shape.segment_rows)

    def _ids(self, segment: int) -> IdColumn:
        if segment < self._base.open_segment:
            return super()._ids(segment)
        return read_ids(self._get, self._shape.codec, segment, self._shape.segment_rows)

    def _bitmap(self, segment: int) -> U8 | None:
        bitmap = self._bitmaps.get(segment)
        return super()._bitmap(segment) if bitmap is None else bitmap

    def _tail_codes(self, chunk: int) -> U8:
        changed = self._tail.get(chunk)
        return super()._tail_codes(chunk) if changed is None else changed[0]

    def _take_ids(self, rows: I64, ids: I64) -> bool:  # noqa: ARG002 - what the cache has is the committed state
        return False

    def _tail_ids(self, chunk: int) -> IdColumn:
        changed = self._tail.get(chunk)
        return super()._tail_ids(chunk) if changed is None else changed[1]

    def _run(self, info: RunInfo) -> RunReader:
        if info in self._base.runs:
            return super()._run(info)
        reader = self._private_runs.get(info.run)
        if reader is None:
            reader = self._private_runs[info.run] = RunReader(info.run, info.entries, self._get)
        return reader

    @contextmanager
    def _without_appended(self) -> Iterator[None]:
        """Inside the block, what this transaction has appended is not there; what it has killed is dead."""
        current, tail, recent = self._current, self._tail, self._tail_recent
        before = self._base
        if current.open_segment == before.open_segment:
            before = before._replace(tail_dead=current.tail_dead, tail_stamp=current.tail_stamp)
        self._current, self._tail, self._tail_recent = before, {}, None
        try:
            yield
        finally:
            self._current, self._tail, self._tail_recent = current, tail, recent

    def _tail_keys(self) -> list[KeyIndex]:
        """Keys of all rows that are in no range and no run: those of the tail, and sealed ones that wait."""
        recent = self._tail_recent
        if recent is None:
            return super()._tail_keys()  # nothing appended yet
        if recent.follows_base:
            with self._without_appended():
                recent.put_first(super()._tail_keys())
        return self._waiting_keys.sorted() + recent.sorted()

    def rows_before(self, ids: Any) -> I64:
        """As `rows_of`, for ids of which this transaction has appended none: its own rows need not be searched."""
        self._check()
        if self._base.live_rows == 0:
            return np.full(len(ids), -1, dtype=np.int64)  # a build
        with self._without_appended():
            return self.rows_of(ids)

    def chunks(self) -> tuple[StoredChunk, ...]:
        """Packed codes of all rows as this transaction sees them; good until its next change."""
        self._check()
        rows = self._shape.segment_rows
        sealed = [StoredChunk(self._codes(s), rows, s * rows, self._bitmap(s)) for s in self.table.entries]
        return (*sealed, *self._open_chunks())
