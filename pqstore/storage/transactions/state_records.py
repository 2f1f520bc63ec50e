"""The records of one state of an index, by number: what every reader of it is made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from pqstore.arrays import U8
from pqstore.storage.format.catalog import Catalog
from pqstore.storage.format.list_state import ListState
from pqstore.storage.format.segment_table import SegmentTable
from pqstore.storage.format.state import RunInfo, State
from pqstore.storage.idmap.runs import RunReader
from pqstore.storage.idmap.search import KeyIndex
from pqstore.storage.rows.column_records import StoredChunk
from pqstore.storage.rows.id_columns import IdColumn
from pqstore.storage.rows.schema import Schema
from pqstore.storage.transactions.generation import Generation

__all__ = ["Entry", "StateRecords"]

Entry = tuple[memoryview, memoryview]
"""Key and value of a record."""


class StateRecords(Protocol):
    """Fulfilled by the records of a committed state, and by those that lay a transaction's changes over them."""

    @property
    def schema(self) -> Schema:
        """How rows are divided, and how codes and ids are laid out."""

    @property
    def generation(self) -> Generation:
        """Where the records are stored."""

    @property
    def state(self) -> State:
        """Counters, ranges and runs."""

    @property
    def table(self) -> SegmentTable:
        """The sealed segments."""

    @property
    def catalog(self) -> Catalog:
        """Names, fields, notes and sets."""

    @property
    def lists(self) -> ListState | None:
        """Tables and runs of inverted lists; None: there are none."""

    def check(self) -> None:
        """Raise `IndexClosedError` after the end of the transaction, `ForkedIndexError` in a forked child."""

    def get(self, database: str, key: bytes) -> memoryview | None:
        """A stored value."""

    def covering(self, database: str, key: bytes) -> Entry | None:
        """The stored record with the last key up to this one."""

    def page(self, database: str, start: bytes, stop: bytes, most: int) -> Sequence[Entry]:
        """The first stored records with keys from `start` up to `stop`, `most` at most."""

    def codes(self, segment: int) -> U8:
        """Packed codes of a sealed segment."""

    def ids(self, segment: int) -> IdColumn:
        """Ids of a sealed segment."""

    def bitmap(self, segment: int) -> U8 | None:
        """Tombstones of a sealed segment or of the tail; None when no row is dead."""

    def tail_codes(self, chunk: int) -> U8:
        """Packed codes of a chunk of the tail."""

    def tail_ids(self, chunk: int) -> IdColumn:
        """Ids of a chunk of the tail."""

    def run(self, info: RunInfo) -> RunReader:
        """A run of the id map."""

    def tail_keys(self) -> Sequence[KeyIndex]:
        """Keys of all rows that are in no range and no run."""

    def chunks(self) -> tuple[StoredChunk, ...]:
        """Packed codes of all stored rows, in row order."""

    def plain_ids(self) -> tuple[Any, Any] | None:
        """int64 ids as compiled code reads them, those that were read before: by segment, and by chunk of the tail.
        None: not of this state."""
