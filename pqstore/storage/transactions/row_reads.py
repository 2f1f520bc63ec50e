"""Reads of rows by number: their codes, their ids, and which are live."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from pqstore.arrays import I64
from pqstore.native import native_loops
from pqstore.storage.idmap.ranges import ascend
from pqstore.storage.rows.column_records import StoredChunk
from pqstore.storage.rows.id_columns import IdColumn
from pqstore.storage.rows.tombstones import are_set, live_positions
from pqstore.storage.transactions.state_records import StateRecords

__all__ = ["RowReads", "are_live", "id_columns", "is_live"]

_SINGLY_UP_TO = 256  # so many rows are looked at one after another faster than they are sorted by segment
_FEW = 8  # so many are asked one after another whether they are live


class RowReads:
    """Nothing that a method returns points into the file, except the codes of `chunks()`."""

    __slots__ = ("_geometry", "_records")

    def __init__(self, records: StateRecords) -> None:
        self._records = records
        self._geometry = records.schema.geometry

    @property
    def total_count(self) -> int:
        """Rows that are stored, dead ones too."""
        return self._geometry.total_rows(len(self._records.table), self._records.state)

    def spread(self, count: int) -> I64:
        """About so many live rows, spread evenly over all, or all where there are no more: int64, ascending."""
        records, geometry = self._records, self._geometry
        records.check()
        step = max(1.0, records.state.live_rows / count)
        before, parts = 0, [np.empty(0, dtype=np.int64)]
        for segment, rows in geometry.stored(records.table.entries, records.state):
            live = live_positions(records.bitmap(segment), rows)
            # Of all live rows those that are numbered 0, step, 2 step, ...
            first, end = math.ceil(before / step), math.ceil((before + len(live)) / step)
            wanted = (np.arange(first, end) * step).astype(np.int64) - before
            parts.append(live[wanted[(wanted >= 0) & (wanted < len(live))]] + geometry.first_row(segment))
            before += len(live)
        return np.concatenate(parts)

    def ids_ascend(self) -> bool:
        """Whether ids are known to ascend with rows, as automatic ids do until rows move. Reads those of the tail."""
        records, geometry, state = self._records, self._geometry, self._records.state
        records.check()
        if not records.schema.codec.keys_are_ids:
            return False
        spans = [(geometry.first_row(segment), geometry.first_row(segment + 1)) for segment in records.table.entries]
        if not ascend(state.ranges, spans):
            return False
        last = max((entry.first_id + entry.count - 1 for entry in state.ranges), default=None)
        for chunk in geometry.tail_chunks(state):
            column = records.tail_ids(chunk)
            ids = column.user()
            if not column.ascends() or (last is not None and ids.item(0) <= last):
                return False
            last = ids.item(-1)
        return True

    def chunks(self) -> tuple[StoredChunk, ...]:
        """Packed codes of all stored rows in row order, zero-copy."""
        self._records.check()
        return self._records.chunks()

    def codes_of(self, rows: npt.ArrayLike) -> npt.NDArray[Any]:
        """Stored labels (n, M) of rows that exist."""
        self._records.check()
        wanted = np.asarray(rows, dtype=np.int64)
        out: npt.NDArray[Any] | None = None
        for where, codes in self._gathered(wanted):
            if out is None:
                out = np.empty((len(wanted), codes.shape[1]), dtype=codes.dtype)
            out[where] = codes
        return self._records.schema.packing.unpack(np.empty(0, dtype=np.uint8), 0) if out is None else out

    def _gathered(self, rows: I64) -> Iterator[tuple[Any, npt.NDArray[Any]]]:
        """(where in `rows`, their codes), together covering all rows."""
        records, gather = self._records, self._records.schema.packing.gather
        for segment, where, positions in self._geometry.by_segment(rows):
            if segment != records.state.open_segment:
                yield where, gather(records.codes(segment), positions)
                continue
            for chunk, places, offsets in self._geometry.by_tail_chunk(segment, where, positions, len(rows)):
                yield places, gather(records.tail_codes(chunk), offsets)

    def ids_of(self, rows: npt.ArrayLike) -> npt.NDArray[Any]:
        """Ids of rows of any shape, which exist or are -1: int64, or objects of type str; -1, or None, for row -1."""
        records, geometry = self._records, self._geometry
        records.check()
        wanted = np.ascontiguousarray(rows, dtype=np.int64)
        if records.schema.codec.keys_are_ids:
            ids = np.empty(wanted.shape, dtype=np.int64)
            native, known = native_loops(), records.plain_ids()
            # False: a column is not known yet, or a row does not exist.
            if native is not None and known is not None:
                sealed, tail = known
                open_segment = records.state.open_segment
                if native.take_ids(sealed, geometry.segment_rows, tail, geometry.chunk_rows, open_segment, wanted, ids):
                    return ids
            ids.fill(-1)
        else:
            ids = np.empty(wanted.shape, dtype=object)
        self._read_ids(wanted.reshape(-1), ids.reshape(-1))
        return ids

    def id_places(self) -> tuple[Any, ...] | None:
        """What compiled code takes ids of rows from: parts of sealed segments and of the open one, rows of either, and
        the number of the open one. Good for the state, as far as ids were read; None: ids are no int64."""
        records, known = self._records, self._records.plain_ids()
        if not records.schema.codec.keys_are_ids or native_loops() is None or known is None:
            return None
        return *known, self._geometry.segment_rows, self._geometry.chunk_rows, records.state.open_segment

    def _read_ids(self, rows: I64, ids: npt.NDArray[Any]) -> None:
        """Fill in the ids of rows that are not -1."""
        if len(rows) <= _SINGLY_UP_TO:
            for place, row in enumerate(rows.tolist()):
                if row >= 0:
                    ids[place] = self._id_at(row)
            return
        known = np.flatnonzero(rows >= 0)
        for where, column, positions in id_columns(self._records, rows[known]):
            ids[known[where]] = column.take(positions).user()

    def _id_at(self, row: int) -> int | str:
        segment, position = self._geometry.locate(row)
        if segment != self._records.state.open_segment:
            return self._records.ids(segment).at(position)
        chunk, offset = self._geometry.locate_chunk(row)
        return self._records.tail_ids(chunk).at(offset)

    def iter_ids(self, block: int) -> Iterator[npt.NDArray[Any]]:
        """Ids of all live rows in row order, at most `block` at a time."""
        return (self.ids_of(rows) for rows in self.live_blocks(block))

    def newest(self, count: int) -> I64:
        """So many of the live rows that were stored last, or all where there are no more: int64, ascending."""
        self._records.check()
        found: list[I64] = []
        for segment, rows in reversed(list(self._geometry.stored(self._records.table.entries, self._records.state))):
            live = live_positions(self._records.bitmap(segment), rows) + self._geometry.first_row(segment)
            found.insert(0, live[-count:])
            count -= len(found[0])
            if count <= 0:
                break
        return np.concatenate([np.empty(0, dtype=np.int64), *found])

    def live_blocks(self, block: int) -> Iterator[I64]:
        """All live rows, int64, ascending, at most `block` at a time."""
        self._records.check()
        for segment, count in self._geometry.stored(self._records.table.entries, self._records.state):
            live = live_positions(self._records.bitmap(segment), count) + self._geometry.first_row(segment)
            for start in range(0, len(live), block):
                yield live[start : start + block]


def id_columns(records: StateRecords, rows: I64) -> Iterator[tuple[Any, IdColumn, I64]]:
    """(where in `rows`, a column of ids, positions in it), together covering all rows."""
    geometry = records.schema.geometry
    for segment, where, positions in geometry.by_segment(rows):
        if segment != records.state.open_segment:
            yield where, records.ids(segment), positions
            continue
        for chunk, places, offsets in geometry.by_tail_chunk(segment, where, positions, len(rows)):
            yield places, records.tail_ids(chunk), offsets


def is_live(records: StateRecords, row: int) -> bool:
    """Whether a row exists and is not dead."""
    segment, position = records.schema.geometry.locate(row)
    state = records.state
    if segment == state.open_segment:
        if position >= state.tail_rows:
            return False
    elif segment not in records.table.entries:
        return False
    bitmap = records.bitmap(segment)
    return bitmap is None or not bitmap[position >> 3] >> (position & 7) & 1


def are_live(records: StateRecords, rows: I64) -> npt.NDArray[np.bool_]:
    """Which rows exist and are not dead."""
    if len(rows) <= _FEW:
        return np.array([is_live(records, row) for row in rows.tolist()], dtype=np.bool_)
    geometry, state, table = records.schema.geometry, records.state, records.table
    segments = rows // geometry.segment_rows
    in_tail = segments == state.open_segment
    live = table.contains(segments)
    live[in_tail] = rows[in_tail] < geometry.next_row(state)
    if table.total_dead == 0 and state.tail_dead == 0:
        return live
    candidates = np.flatnonzero(live)
    for segment, where, positions in geometry.by_segment(rows[candidates]):
        bitmap = records.bitmap(segment)
        if bitmap is not None:
            live[candidates[where]] = ~are_set(bitmap, positions)
    return live
