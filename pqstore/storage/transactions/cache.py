"""Views and tables that stay good from one transaction to the next, so that a second search costs nothing here.

Only committed records come in here, so a number seen once means the same record for ever: segments, chunks and runs are
never rewritten under their number. A view is used only under a transaction in which its record exists; the tables
that say what exists are read anew for each commit.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pqstore.arrays import U8
from pqstore.storage.attachments.ends import Ended
from pqstore.storage.attachments.field_column import FieldColumn
from pqstore.storage.format.catalog import Catalog
from pqstore.storage.format.list_state import ListState
from pqstore.storage.format.segment_table import SegmentTable
from pqstore.storage.format.state import RunInfo, State
from pqstore.storage.idmap.runs import RunReader
from pqstore.storage.idmap.search import KeyIndex
from pqstore.storage.lists.list_runs import ListReader
from pqstore.storage.lists.stored_table import StoredTable
from pqstore.storage.rows.column_records import StoredChunk
from pqstore.storage.rows.id_columns import IdColumn, new_id_parts

__all__ = ["Committed", "Life", "ViewCache"]


@dataclass(slots=True)
class Committed:
    """One committed state, and what has been read of it. Good under any transaction with this number."""

    transaction: int
    state: State
    table: SegmentTable
    chunks: tuple[StoredChunk, ...] | None = None
    tail_ids: dict[int, IdColumn] = field(default_factory=dict)
    tail_plain_ids: Any = field(default_factory=new_id_parts)
    tail_codes: dict[int, U8] = field(default_factory=dict)
    last_chunk_keys: KeyIndex | None = None
    catalog: Catalog | None = None
    lists: tuple[ListState | None] | None = None
    """What it says of lists, once it has been asked."""
    derived: dict[Any, Any] = field(default_factory=dict)
    """What the index room has worked out of this state."""
    life: Life | None = None
    """Which of its rows had ended when it was last asked."""
    ended_rows: int = 0
    """Rows past the end of their life that it counts among the dead, though no tombstone says so."""

    def take_tail_ids(self, before: Committed) -> None:
        """What is known of the ids of the tail of another state, whose tail has the same rows. Not its codes, which are
        views that a commit may move."""
        self.tail_ids, self.tail_plain_ids = before.tail_ids, before.tail_plain_ids
        self.last_chunk_keys = before.last_chunk_keys


@dataclass(frozen=True, slots=True)
class Life:
    """Which rows of a committed state have ended, from the last end up to a moment until the next one."""

    since: int
    """Microseconds since 1970."""
    until: int
    dead: Mapping[int, U8]
    """All dead rows of segments with rows that have ended, and have no tombstone yet: a bitmap for each."""
    committed: Committed
    """The state as it is then: rows that have ended are dead."""


class ViewCache:
    """The cache of one environment."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self.committed: Committed | None = None
        self.next_id_is_right = False  # it is larger than every id in the index
        self.codes: dict[int, U8] = {}
        self.ids: dict[int, IdColumn] = {}
        self.plain_ids: Any = new_id_parts()  # of the same columns, for compiled code
        self.chunks: dict[int, tuple[int, StoredChunk]] = {}  # by segment, with the stamp of its tombstones
        self.bitmaps: dict[int, tuple[int, U8]] = {}  # by segment, with stamp
        self.tail_codes: dict[int, U8] = {}
        self.tail_ids: dict[int, IdColumn] = {}
        self.runs: dict[int, RunReader] = {}
        self.fields: dict[tuple[int, int], FieldColumn] = {}  # by segment and field
        self.tail_fields: dict[tuple[int, int, int], FieldColumn] = {}  # by chunk, its rows, and field
        self.ended: dict[tuple[int, int], Ended] = {}  # by segment and field
        self.tail_keys: tuple[int, int, KeyIndex] | None = None  # segment, full chunks in it, their keys
        self.list_runs: dict[int, ListReader] = {}
        self.list_tables: dict[int, StoredTable] = {}

    def put(self, committed: Committed) -> None:
        """Keep this state if it is the newest, and drop what it no longer has."""
        with self.lock:
            known = self.committed
            # An old snapshot, opened before a commit and read after it, must not push the newer state out.
            if known is not None and known.transaction >= committed.transaction:
                return
            if known is not None and known.table is not committed.table:
                self.forget_missing(committed.state, committed.table)
            if known is not None and known.state.runs != committed.state.runs:
                self.forget_runs(committed.state.runs)
            self.committed = committed

    def forget_missing(self, state: State, table: SegmentTable) -> None:
        """Drop what a newer state no longer has."""
        for views in (self.codes, self.ids, self.plain_ids, self.chunks):
            for segment in [number for number in views if number not in table.entries]:
                del views[segment]
        for segment in [n for n in self.bitmaps if n not in table.entries and n != state.open_segment]:
            del self.bitmaps[segment]
        for of_fields in (self.fields, self.ended):
            for key in [key for key in of_fields if key[0] not in table.entries]:
                del of_fields[key]
        self.tail_codes.clear()
        self.tail_ids.clear()
        self.tail_fields.clear()

    def forget_lists(self, lists: ListState | None) -> None:
        """Drop tables and runs of lists that are no longer there."""
        kept = set() if lists is None else lists.numbers
        for known in (self.list_runs, self.list_tables):
            for number in [number for number in known if number not in kept]:
                del known[number]

    def forget_runs(self, runs: tuple[RunInfo, ...]) -> None:
        """Drop runs that are merged away."""
        kept = {info.run for info in runs}
        for run in [number for number in self.runs if number not in kept]:
            del self.runs[run]
