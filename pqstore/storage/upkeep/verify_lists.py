"""Invariants of docs/format.md on inverted lists, against one snapshot."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from pqstore.arrays import I64
from pqstore.errors import CorruptIndexError
from pqstore.storage.format import records
from pqstore.storage.format.list_state import ListRunInfo, PartitionedRows
from pqstore.storage.format.state import Identity
from pqstore.storage.lists.list_runs import ListReader, read_offsets
from pqstore.storage.lists.stored_table import StoredTable, read_table
from pqstore.storage.rows.tombstones import live_positions
from pqstore.storage.transactions.row_reads import are_live
from pqstore.storage.transactions.snapshot import Snapshot
from pqstore.storage.upkeep.problem import Problem

__all__ = ["LIST_INVARIANTS", "list_numbers", "list_problems"]

LIST_INVARIANTS: Final = {
    25: "Tables and runs of lists are as the list state says: lists add up to all rows, only the last chunk is short.",
    26: "The rows of a list ascend, and lie in sealed segments that its run covers.",
    27: "Every live row of a segment that a run covers is in exactly one run, once.",
    28: "A row in a list has the codes of the row, and lies in the partition that the table assigns.",
}


def list_numbers(snapshot: Snapshot) -> set[int]:
    """Of tables and runs that the list state names; none where it cannot be read."""
    try:
        state = snapshot.records.lists
    except CorruptIndexError:
        return set()
    return set() if state is None else state.numbers


def list_problems(snapshot: Snapshot, *, deep: bool) -> Iterator[Problem]:
    """What is wrong with the lists; `deep` compares all codes and partitions too."""
    try:
        state = snapshot.records.lists
    except CorruptIndexError as error:
        yield Problem(25, "list state", str(error))
        return
    declared = records.LISTS in _features(snapshot)
    if declared != (state is not None):
        yield Problem(25, "identity", f"{'names' if declared else 'does not name'} lists, against the list state")
    for lists in () if state is None else filter(None, (state.current, state.building)):
        yield from _ListVerification(snapshot, lists, deep).problems()


def _features(snapshot: Snapshot) -> tuple[str, ...]:
    return Identity.unpack(snapshot.records.get("meta", records.IDENTITY_KEY)).features


class _ListVerification:
    def __init__(self, snapshot: Snapshot, lists: PartitionedRows, deep: bool) -> None:
        self._snapshot = snapshot
        self._records = snapshot.records
        self._geometry = snapshot.records.schema.geometry
        self._lists = lists
        self._deep = deep
        self._table: StoredTable | None = None
        self._seen: dict[int, npt.NDArray[np.bool_]] = {}  # of each segment, which rows are in a list

    def problems(self) -> Iterator[Problem]:
        lists, get = self._lists, self._records.get
        try:
            self._table = read_table(lists.table, lists.partitions, get)
        except CorruptIndexError as error:
            yield Problem(25, records.record_name(records.PARTITION_TABLE, lists.table), str(error))
        whole = True
        for info in lists.runs:
            problems = list(self._run(info))
            whole = whole and not problems
            yield from problems
        if lists.merge is not None and lists.merge.position:
            try:
                read_offsets(lists.merge.output, lists.merge.rows, lists.partitions, get)
            except CorruptIndexError as error:
                yield Problem(25, records.record_name(records.LIST_DIRECTORY, lists.merge.output), str(error))
        if whole:
            yield from self._missing()

    def _run(self, info: ListRunInfo) -> Iterator[Problem]:
        try:
            reader = ListReader(info, self._lists.partitions, self._records.schema.packing, self._records.get)
        except CorruptIndexError as error:
            yield Problem(25, records.record_name(records.LIST_DIRECTORY, info.run), str(error))
            return
        last, partition = -1, -1
        for ordinal in range(reader.chunk_count):
            name = records.record_name(records.LIST_CHUNK, info.run, ordinal)
            try:
                packed, numbers = reader.read_chunk(ordinal, self._records.get)
            except CorruptIndexError as error:
                yield Problem(25, name, str(error))
                continue
            rows = numbers.astype(np.int64) + reader.first_row
            places = np.arange(len(rows)) + ordinal * reader.chunk_rows
            of_rows = np.searchsorted(reader.offsets, places, side="right") - 1
            ascends = np.diff(rows, prepend=last) > 0
            if not np.all(ascends | (np.diff(of_rows, prepend=partition) > 0)):
                yield Problem(26, name, "the rows of a list do not ascend")
            last, partition = int(rows[-1]), int(of_rows[-1])
            yield from self._rows(name, info, rows)
            if self._deep:
                codes = self._records.schema.packing.unpack(packed, len(rows))
                yield from self._codes(name, codes, rows, of_rows)

    def _rows(self, name: str, info: ListRunInfo, rows: I64) -> Iterator[Problem]:
        """Invariant 26, and what is needed for 27."""
        spans = np.array(sorted(info.covered), dtype=np.int64).reshape(-1, 2)
        segments = rows // self._geometry.segment_rows
        at = np.searchsorted(spans[:, 0], segments, side="right") - 1
        outside = (at < 0) | (segments >= spans[np.maximum(at, 0), 1])
        if outside.any():
            yield Problem(26, name, f"names row {int(rows[outside][0])}, which its run does not cover")
            return
        twice = 0
        for segment, _, positions in self._geometry.by_segment(rows):
            if segment not in self._records.table.entries:
                continue
            seen = self._seen.setdefault(segment, np.zeros(self._geometry.segment_rows, dtype=np.bool_))
            twice += int(np.count_nonzero(seen[positions])) + len(positions) - len(np.unique(positions))
            seen[positions] = True
        if twice:
            yield Problem(27, name, f"{twice} rows are in a list already")

    def _missing(self) -> Iterator[Problem]:
        entries, geometry = self._records.table.entries, self._geometry
        pending = set(self._lists.pending(self._records.table.numbers).tolist())
        for segment in entries:
            if segment in pending:
                continue
            try:
                live = live_positions(self._records.bitmap(segment), geometry.segment_rows)
            except CorruptIndexError:
                continue  # reported with the record
            seen = self._seen.get(segment)
            missing = len(live) if seen is None else int(np.count_nonzero(~seen[live]))
            if missing:
                yield Problem(27, f"segment {segment}", f"{missing} live rows are in no list")

    def _codes(self, name: str, codes: npt.NDArray[Any], rows: I64, of_rows: I64) -> Iterator[Problem]:
        """Invariant 28, of the live rows."""
        try:
            live = np.flatnonzero(are_live(self._records, rows))
            stored = self._snapshot.codes_of(rows[live])
        except CorruptIndexError:
            return  # reported with the record
        wrong = np.flatnonzero((stored != codes[live]).any(axis=1)) if len(live) else live
        if len(wrong):
            yield Problem(28, name, f"{len(wrong)} rows have other codes, row {int(rows[live][wrong[0]])} first")
        assigner = self._records.schema.assigner
        if assigner is None or self._table is None:
            return
        others = np.flatnonzero(assigner.assign(self._lists.table, self._table, codes) != of_rows)
        if len(others):
            yield Problem(28, name, f"{len(others)} rows belong to other partitions, row {int(rows[others[0]])} first")
