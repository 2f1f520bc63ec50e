"""What a snapshot says of inverted lists, and what their searches read of it."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

import numpy as np
import numpy.typing as npt

from pqstore.arrays import I64, U8
from pqstore.errors import CorruptIndexError
from pqstore.storage.lists.list_runs import U32, ListReader
from pqstore.storage.rows.column_records import StoredChunk
from pqstore.storage.rows.tombstones import live_positions
from pqstore.storage.transactions.list_reads import ListReads, flat_chunks, read_lists
from pqstore.storage.transactions.row_reads import are_live
from pqstore.storage.transactions.snapshot import Snapshot

__all__ = ["SnapshotLists"]

_WORTH_ASKING = 8  # chunks


class SnapshotLists:
    """For use before the snapshot is closed."""

    __slots__ = ("_records",)

    def __init__(self, snapshot: Snapshot) -> None:
        self._records = snapshot.records

    def read(self) -> ListReads | None:
        """The lists that searches read; None where there are none."""
        self._records.check()
        return read_lists(self._records)

    def begun_partitions(self) -> int | None:
        """How many partitions the lists have that are being made; None: there are none, or none that can be read."""
        with suppress(CorruptIndexError):
            state = self._records.lists
            if state is not None and state.building is not None:
                return state.building.partitions
        return None

    def begun_rows(self) -> tuple[int, int]:
        """(rows that are in the lists that are being made, rows of all sealed segments)."""
        rows = len(self._records.table) * self._records.schema.geometry.segment_rows
        state = self._records.lists
        return (rows if state is None or state.building is None else state.building.rows), rows

    def chunk(self, run: ListReader, ordinal: int) -> tuple[U8, U32]:
        """(packed codes, row numbers minus its `first_row`) of a chunk of a run."""
        self._records.check()
        return run.chunk(ordinal, self._records.get)

    def ask_for(self, chunks: Iterable[tuple[ListReader, int]]) -> None:
        """Have the system read the chunks of runs that this process has not read yet, all at once: read one after the
        other, each page of a file that is not in memory would be waited for."""
        keys = [run.key_of(ordinal) for run, ordinal in chunks if not run.is_read(ordinal)]
        if len(keys) >= _WORTH_ASKING:
            self._records.check()
            self._records.generation.environment.ask_for("runchunks", sorted(keys))

    def are_live(self, rows: I64) -> npt.NDArray[np.bool_]:
        """Which rows exist and are not dead."""
        return are_live(self._records, rows)

    def rows_of_lists(self, first: int, end: int) -> tuple[I64, I64]:
        """(rows, dead ones too, and their partitions) of the lists of partitions ``first .. end - 1``."""
        reads = self.read()
        rows, partitions = [np.empty(0, dtype=np.int64)], [np.empty(0, dtype=np.int64)]
        for run in () if reads is None else reads.runs:
            rows.append(run.lists(first, end, self._records.get)[1])
            partitions.append(np.repeat(np.arange(first, end), np.diff(run.offsets[first : end + 1])))
        return np.concatenate(rows), np.concatenate(partitions)

    def flat_rows(self) -> I64:
        """Live rows that are in no list, ascending."""
        reads, geometry, state = self.read(), self._records.schema.geometry, self._records.state
        parts = [np.empty(0, dtype=np.int64)]
        for segment, count in geometry.stored([] if reads is None else reads.pending.tolist(), state):
            parts.append(live_positions(self._records.bitmap(segment), count) + geometry.first_row(segment))
        return np.concatenate(parts)

    def covered_rows(self) -> int:
        """Rows of sealed segments that runs cover, dead ones too."""
        return self._covered()[0]

    def dead_in_lists(self) -> int:
        """How many rows in lists are dead: tombstones, and rows of segments that are gone."""
        reads = self.read()
        if reads is None:
            return 0
        rows, dead = self._covered()
        return max(0, reads.lists.rows - (rows - dead))

    def _covered(self) -> tuple[int, int]:
        """(rows, dead rows) of sealed segments that runs cover."""
        reads, table = self.read(), self._records.table
        if reads is None:
            return 0, 0
        pending = set(reads.pending.tolist())
        dead = [entry.dead for segment, entry in table.entries.items() if segment not in pending]
        return len(dead) * self._records.schema.geometry.segment_rows, sum(dead)

    def flat_chunks(self, segments: I64) -> tuple[StoredChunk, ...]:
        """As `Snapshot.chunks`, of some sealed segments and of the tail."""
        self._records.check()
        return flat_chunks(self._records, segments)

    def living(self) -> tuple[I64, list[U8 | None], int]:
        """All sealed segments, ascending; the bitmap of the dead rows of each, None where no row is dead; and how many
        rows a segment has."""
        self._records.check()
        table = self._records.table
        bitmaps = [self._records.bitmap(segment) if entry.dead else None for segment, entry in table.entries.items()]
        return table.numbers, bitmaps, self._records.schema.geometry.segment_rows
