"""What a write transaction sees: a committed state, and over it the changes that wait in memory for the commit."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import cast

from pqstore.arrays import U8
from pqstore.errors import IndexClosedError
from pqstore.storage.format.catalog import Catalog
from pqstore.storage.format.list_state import ListState
from pqstore.storage.format.segment_table import SegmentEntry, SegmentTable
from pqstore.storage.format.state import RunInfo
from pqstore.storage.idmap.recent import RecentKeys
from pqstore.storage.idmap.runs import RunReader
from pqstore.storage.idmap.search import KeyIndex
from pqstore.storage.rows.column_records import StoredChunk, read_codes, read_ids
from pqstore.storage.rows.id_columns import IdColumn
from pqstore.storage.transactions.cache import Committed
from pqstore.storage.transactions.committed import CommittedRecords, tail_of
from pqstore.storage.transactions.state_records import Entry, StateRecords

__all__ = ["PendingRecords", "before_appends", "has_the_tail_of_its_base", "known_lists", "tombstones", "visible"]


class PendingRecords:
    """See `StateRecords`. Attributes that have no underscore are for those who make the changes."""

    def __init__(self, base: CommittedRecords) -> None:
        self.base = base
        self.schema = base.schema
        self.generation = base.generation
        self.state = base.state
        self.commits_before = base.state.commit
        """Commits that this one comes after."""
        self.changed_catalog: Catalog | None = None
        self.changed_lists: tuple[ListState | None] | None = None
        self.bitmaps: dict[int, U8] = {}
        self.tail: dict[int, tuple[U8, IdColumn]] = {}  # by chunk
        self.left_tail = range(0)
        """Chunks of the committed tail that are in no tail any more."""
        self.appended_keys: RecentKeys | None = None
        """Of rows in the tail; None: nothing was appended yet."""
        self.waiting_keys = RecentKeys()  # of sealed rows that are in no run yet
        self.written = 0
        """Bytes that LMDB holds in memory for this transaction."""
        self.entries: dict[int, SegmentEntry | None] = {}
        """Sealed segments that are new or changed; None: the segment is gone."""
        self._table: SegmentTable | None = base.table
        self._runs: dict[int, RunReader] = {}
        self.cached: Committed | None = None
        """What was worked out of it, where it is a state to be searched."""
        self.deletions: list[tuple[str, bytes]] = []
        """Databases and keys of records that go with the last commit."""

    @property
    def closed(self) -> bool:
        """Whether the transaction has ended."""
        return self.base.closed

    @property
    def table(self) -> SegmentTable:
        if self._table is None:
            self._table = self.base.table.with_changes(self.entries, self.commit_number)
        return self._table

    @property
    def catalog(self) -> Catalog:
        return self.changed_catalog or self.base.catalog

    @property
    def lists(self) -> ListState | None:
        return self.base.lists if self.changed_lists is None else self.changed_lists[0]

    @property
    def commit_number(self) -> int:
        """The number of the commit that these changes are for."""
        return self.commits_before + 1

    @property
    def changed(self) -> bool:
        """Whether there is anything to commit."""
        if self.changed_lists is not None:
            return True
        return self.state is not self.base.state or bool(self.bitmaps) or self.catalog_changed

    @property
    def catalog_changed(self) -> bool:
        return self.changed_catalog is not None and self.changed_catalog != self.base.catalog

    def check(self) -> None:
        """Raise `IndexClosedError` after the end of the transaction, `ForkedIndexError` in a forked child."""
        if self.base.closed:
            raise IndexClosedError("the write transaction has ended")
        self.base.check()

    # Reads

    def get(self, database: str, key: bytes) -> memoryview | None:
        return self.base.get(database, key)

    def covering(self, database: str, key: bytes) -> Entry | None:
        return self.base.covering(database, key)

    def page(self, database: str, start: bytes, stop: bytes, most: int) -> Sequence[Entry]:
        return self.base.page(database, start, stop, most)

    def codes(self, segment: int) -> U8:
        if segment < self.base.state.open_segment:
            return self.base.codes(segment)
        return read_codes(self.get, segment, self.schema.segment_bytes, self.schema.geometry.segment_rows)

    def ids(self, segment: int) -> IdColumn:
        if segment < self.base.state.open_segment:
            return self.base.ids(segment)
        return read_ids(self.get, self.schema.codec, segment, self.schema.geometry.segment_rows)

    def bitmap(self, segment: int) -> U8 | None:
        bitmap = self.bitmaps.get(segment)
        if bitmap is None and segment <= self.base.state.open_segment:
            return self.base.bitmap(segment)
        return bitmap

    def tail_codes(self, chunk: int) -> U8:
        changed = self.tail.get(chunk)
        return self.base.tail_codes(chunk) if changed is None else changed[0]

    def tail_ids(self, chunk: int) -> IdColumn:
        changed = self.tail.get(chunk)
        return self.base.tail_ids(chunk) if changed is None else changed[1]

    def run(self, info: RunInfo) -> RunReader:
        if info in self.base.state.runs:
            return self.base.run(info)
        reader = self._runs.get(info.run)
        if reader is None:
            chunk_entries = self.generation.limits.run_chunk_entries
            reader = self._runs[info.run] = RunReader(info.run, info.entries, self.get, chunk_entries)
        return reader

    def tail_keys(self) -> Sequence[KeyIndex]:
        appended = self.appended_keys
        if appended is None:
            return self.base.tail_keys()
        if appended.follows_base:
            appended.put_first(list(self.base.tail_keys()))
        return self.waiting_keys.sorted() + appended.sorted()

    def chunks(self) -> tuple[StoredChunk, ...]:
        """Good until the next change."""
        rows, first_row = self.schema.geometry.segment_rows, self.schema.geometry.first_row
        sealed = [StoredChunk(self.codes(s), rows, first_row(s), self.bitmap(s)) for s in self.table.entries]
        return (*sealed, *tail_of(self))

    def plain_ids(self) -> None:
        """What the cache has is the committed state."""

    # Changes

    def put(self, database: str, key: bytes, value: bytes | bytearray) -> None:
        """Write a record that no committed state refers to."""
        self.base.txn.put(key, value, db=self.generation.environment.databases[database])
        self.written += len(value)

    def delete(self, database: str, key: bytes) -> None:
        """Delete a record, if it is there; not before the last commit: what is staged on the way must leave the index
        as it is."""
        self.deletions.append((database, key))

    def change_segment(self, segment: int, entry: SegmentEntry | None) -> None:
        """Enter a sealed segment into the table, or with None remove it."""
        self.entries[segment] = entry
        self._table = None

    def forget_run(self, run: int) -> None:
        """A run is merged away."""
        self._runs.pop(run, None)


def known_lists(pending: PendingRecords) -> tuple[ListState | None] | None:
    """Its `lists` without reading anything; None: they have not been read, or cannot be."""
    return pending.changed_lists or pending.base.cached.lists


def tombstones(pending: PendingRecords, segment: int) -> SegmentEntry:
    """How many rows of a sealed segment or of the open one are dead, and since which commit."""
    if segment == pending.state.open_segment:
        return SegmentEntry(pending.state.tail_dead, pending.state.tail_stamp)
    return pending.table.entries[segment]


def has_the_tail_of_its_base(pending: PendingRecords) -> bool:
    """Whether the tail has the same rows, some of which may be dead now."""
    before, now = pending.base.state, pending.state
    return now.open_segment == before.open_segment and now.tail_rows == before.tail_rows


def before_appends(pending: PendingRecords) -> StateRecords:
    """The state without the rows that were appended here; those that were killed are dead."""
    base = pending.base.state
    if pending.appended_keys is None:
        return pending
    if pending.state.open_segment == base.open_segment:
        base = base._replace(tail_dead=pending.state.tail_dead, tail_stamp=pending.state.tail_stamp)
    before = copy.copy(pending)
    before.state, before.tail, before.appended_keys = base, {}, None
    return before


def visible(pending: PendingRecords) -> CommittedRecords:
    """What was changed so far as a state that can be searched; good until the next change.

    Columns of fields are written with the commit, so it has none: filters read payloads.
    """
    seen = copy.copy(pending)
    seen.changed_catalog = replace(pending.catalog, fields=())
    seen.cached = Committed(pending.commit_number, pending.state, pending.table)
    return cast(CommittedRecords, seen)  # all of it that reading a state takes
