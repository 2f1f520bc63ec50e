"""Codes and ids of the rows that a damaged index still has, out of the records that were found in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pqstore.arrays import I64, U8
from pqstore.errors import CorruptIndexError
from pqstore.storage.format import records
from pqstore.storage.format.state import LAST_SEGMENT, State
from pqstore.storage.idmap.runs import chunk_of
from pqstore.storage.limits import Limits
from pqstore.storage.repair.records import FoundRecords, Key
from pqstore.storage.repair.report import RepairReport
from pqstore.storage.rows.id_columns import IdColumn
from pqstore.storage.rows.schema import Schema
from pqstore.storage.rows.tombstones import live_positions

__all__ = ["RowSalvage"]


class RowSalvage:
    """Rows, piece by piece in row order, of the records that were found."""

    def __init__(self, found: FoundRecords, schema: Schema, limits: Limits, report: RepairReport) -> None:
        self._records = found.sound
        self._run_chunks = found.of_kind(records.RUN_CHUNK)
        self._packing = schema.packing
        self._codec = schema.codec
        self._geometry = schema.geometry
        self._report = report
        self._state = self._sound_state(limits)

    def _sound_state(self, limits: Limits) -> State | None:
        """The state, unless it contradicts itself or the table of segments."""
        record = self._records.get((records.STATE, 0, 0))
        if record is None:
            return None
        last = max((key[1] for key in self._records if key[0] == records.SEGMENT), default=-1)
        try:
            state = State.from_record(record)
            state.check(self._geometry.segment_rows, limits.run_chunk_entries)
        except CorruptIndexError as error:
            problem = str(error)
        else:
            if last < state.open_segment:
                return state
            problem = f"state: there is a segment {last}, not below {state.open_segment}"
        self._report.losses.append(f"{problem}; worked out from the other records")
        return None

    def pieces(self) -> Iterator[tuple[npt.NDArray[Any], IdColumn, I64]]:
        """(codes, ids, row numbers) of live rows."""
        sealed = {key[1] for key in self._records if key[0] in (records.SEGMENT, records.CODES)}
        sealed = {segment for segment in sealed if segment <= LAST_SEGMENT}
        if self._state is not None:
            sealed = {segment for segment in sealed if segment < self._state.open_segment}
        elif not self._report.scanned:
            # Codes without an entry may have been staged by a transaction that never ended.
            listed = {key[1] for key in self._records if key[0] == records.SEGMENT}
            sealed &= listed
        for segment in sorted(sealed):
            yield from self._segment(segment)
        yield from self._tail()

    def _segment(self, segment: int) -> Iterator[tuple[npt.NDArray[Any], IdColumn, I64]]:
        rows = self._geometry.segment_rows
        codes = self._codes((records.CODES, segment, 0), rows)
        live = live_positions(self._tombstones(segment), rows)
        if codes is None:
            self._lose(len(live), f"codes of segment {segment} are damaged or missing")
            return
        ids = self._ids((records.ROWIDS, segment, 0), rows)
        if ids is None and self._codec.keys_are_ids:
            live, ids = self._ids_from_map(segment, live)
        if ids is None:
            self._lose(len(live), f"ids of segment {segment} are damaged or missing")
            return
        yield (
            self._packing.gather(codes, live),
            ids.take(live) if len(ids) == rows else ids,
            live + self._geometry.first_row(segment),
        )

    def _tail(self) -> Iterator[tuple[npt.NDArray[Any], IdColumn, I64]]:
        for chunk in self._tail_chunks():
            codes_record = self._records.get((records.TAIL_CODES, records.COLUMN_CODES, chunk))
            rows = codes_record.entries if codes_record is not None and codes_record.entries >= 0 else 0
            codes = self._codes((records.TAIL_CODES, records.COLUMN_CODES, chunk), rows)
            ids = self._ids((records.TAIL_IDS, records.COLUMN_IDS, chunk), rows)
            segment, at = self._geometry.place_of_chunk(chunk)
            size = self._geometry.chunk_rows
            if codes is None or ids is None:
                expected = size if self._state is None else self._geometry.rows_in_chunk(chunk, self._state)
                self._lose(expected, f"chunk {chunk} of the tail is damaged or missing")
                continue
            dead = self._tombstones(segment)
            live = live_positions(None if dead is None else dead[at // 8 : (at + size) // 8], rows)
            yield self._packing.gather(codes, live), ids.take(live), live + self._geometry.first_row_of_chunk(chunk)

    def _tail_chunks(self) -> Sequence[int]:
        if self._state is not None:
            return self._geometry.tail_chunks(self._state)
        found = sorted({key[2] for key in self._records if key[0] in (records.TAIL_CODES, records.TAIL_IDS)})
        found = [chunk for chunk in found if self._geometry.place_of_chunk(chunk)[0] <= LAST_SEGMENT]
        segments = [self._geometry.place_of_chunk(chunk)[0] for chunk in found]
        return [chunk for chunk, segment in zip(found, segments, strict=True) if segment == segments[-1]]

    def _lose(self, rows: int, why: str) -> None:
        self._report.rows_lost += rows
        self._report.losses.append(f"{why}: {rows} rows are lost")

    def _codes(self, key: Key, rows: int) -> U8 | None:
        record = self._records.get(key)
        if (
            record is None
            or record.entries != rows
            or len(record.payload) != self._packing.packed_size(rows)
            or not rows
        ):
            return None
        return np.frombuffer(record.payload, dtype=np.uint8)

    def _ids(self, key: Key, rows: int) -> IdColumn | None:
        record = self._records.get(key)
        if record is None or record.entries != rows:
            return None
        try:
            ids = self._codec.decode(record, records.record_name(*key))
            ids.user()  # raises over strings that are none
        except CorruptIndexError as error:
            self._report.losses.append(str(error))
            return None
        return ids

    def _tombstones(self, segment: int) -> U8 | None:
        record = self._records.get((records.TOMBSTONES, segment, 0))
        if record is None:
            entry = self._records.get((records.SEGMENT, segment, 0))
            dead = int.from_bytes(entry.payload[:8], "little") if entry is not None and entry.entries >= 0 else 0
            if dead:
                self._report.losses.append(f"tombstones of segment {segment} are missing: {dead} removed rows are back")
            return None
        if len(record.payload) != self._geometry.bitmap_bytes:
            self._report.losses.append(f"tombstones of segment {segment} are damaged: its removed rows are back")
            return None
        return np.frombuffer(record.payload, dtype=np.uint8)

    def _ids_from_map(self, segment: int, live: I64) -> tuple[I64, IdColumn | None]:
        """int64 ids of a segment whose own record is damaged, by the id map: the live positions found, and ids."""
        first, size = self._geometry.first_row(segment), self._geometry.segment_rows
        positions: list[I64] = []
        ids: list[I64] = []
        for (run, ordinal), record in self._run_chunks.items():
            try:
                keys, offsets, base = chunk_of(record, run, ordinal)
            except CorruptIndexError as error:
                self._report.losses.append(str(error))
                continue
            rows = offsets.astype(np.int64) + (base - first)
            inside = np.flatnonzero((rows >= 0) & (rows < size))
            positions.append(rows[inside])
            ids.append((keys[inside] ^ np.uint64(1 << 63)).view(np.int64))
        for entry in self._state.ranges if self._state is not None else ():
            start, stop = max(entry.first_row, first), min(entry.first_row + entry.count, first + size)
            if start < stop:
                rows = np.arange(start, stop, dtype=np.int64)
                positions.append(rows - first)
                ids.append(rows - entry.first_row + entry.first_id)
        if not positions:
            return live, None
        found, where = np.unique(np.concatenate(positions), return_index=True)
        keep = np.isin(found, live)
        found, where = found[keep], where[keep]
        if len(found) == 0:
            return live, None
        if len(found) < len(live):
            self._lose(len(live) - len(found), f"ids of segment {segment} are damaged, and some are not in the id map")
        self._report.losses.append(f"ids of segment {segment} are damaged: {len(found)} were found in the id map")
        return found, self._codec.column(np.concatenate(ids)[where])
