"""Rows that a transaction appends and kills: the tail, the segments that it fills, and their entries in the id map."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from pqstore.arrays import I64
from pqstore.storage.disk import crash_points
from pqstore.storage.format import records
from pqstore.storage.format.segment_table import SegmentEntry
from pqstore.storage.format.state import Range
from pqstore.storage.idmap.merge import write_run
from pqstore.storage.idmap.ranges import with_range
from pqstore.storage.idmap.recent import RecentKeys
from pqstore.storage.rows.id_columns import IdColumn, RangeColumn, is_consecutive
from pqstore.storage.rows.row_numbers import contiguous
from pqstore.storage.rows.tombstones import with_bits
from pqstore.storage.transactions.pending import PendingRecords

__all__ = ["RowWrites"]


class RowWrites:
    """Changes `records`; nothing is written but whole segments and runs."""

    def __init__(self, pending: PendingRecords) -> None:
        self._records = pending
        self._schema = pending.schema
        self._geometry = pending.schema.geometry
        self._limits = pending.generation.limits
        self._waiting: list[tuple[IdColumn, int]] = []  # ids of sealed rows that are in no run yet, and their first row

    def append_piece(self, codes: npt.NDArray[Any], ids: IdColumn) -> None:
        """Append as many rows as `next_piece` allows."""
        pending = self._records
        if pending.appended_keys is None:
            pending.appended_keys = RecentKeys(follows_base=pending.base.state.tail_rows > 0)
        pending.appended_keys.add(ids, self._geometry.next_row(pending.state))
        if len(codes) == self._room():
            self._seal(codes, ids)
        else:
            self._extend_tail(codes, ids)

    def _room(self) -> int:
        return self._geometry.segment_rows - self._records.state.tail_rows

    def next_piece(self, rows: int) -> int:
        """How many of `rows` rows go into the open segment."""
        return min(self._room(), rows)

    def _extend_tail(self, codes: npt.NDArray[Any], ids: IdColumn) -> None:
        pending, packing, size = self._records, self._schema.packing, self._geometry.chunk_rows
        at = 0
        while at < len(codes):
            chunk, before = self._geometry.locate_chunk(self._geometry.next_row(pending.state))
            taken = min(size - before, len(codes) - at)
            new_codes, new_ids = codes[at : at + taken], ids.part(at, at + taken)
            if before:
                packed = packing.extend(pending.tail_codes(chunk), before, new_codes)
                new_ids = self._schema.codec.concat([pending.tail_ids(chunk), new_ids])
            else:
                packed = packing.pack(new_codes)
                if np.may_share_memory(packed, codes):
                    packed = packed.copy()  # it is kept beyond this call, and the caller may change its array
            pending.tail[chunk] = packed, new_ids
            pending.state = pending.state._replace(tail_rows=pending.state.tail_rows + taken)
            at += taken

    def _seal(self, codes: npt.NDArray[Any], ids: IdColumn) -> None:
        """The tail and these rows, which fill it, become a segment."""
        pending, packing, state = self._records, self._schema.packing, self._records.state
        segment, chunks, rows = state.open_segment, self._geometry.tail_chunks(state), self._geometry.segment_rows
        parts = [pending.tail_codes(chunk) for chunk in chunks]
        before = state.tail_rows % self._geometry.chunk_rows
        if before:
            parts[-1] = packing.extend(parts[-1], before, codes)
        else:
            parts.append(packing.pack(codes))
        column = self._schema.codec.concat([*(pending.tail_ids(chunk) for chunk in chunks), ids])
        key = records.key1(segment)
        pending.put("codes", key, records.pack_record(records.CODES, segment, 0, rows, list(parts)))
        encoding, id_parts = column.encode(tail=False)
        pending.put("rowids", key, records.pack_record(records.ROWIDS, segment, 0, rows, id_parts, encoding))
        pending.change_segment(segment, SegmentEntry(state.tail_dead, state.tail_stamp))
        self.begin_tail()
        self._map_ids(column, self._geometry.first_row(segment))
        crash_points.reach("segment sealed")

    def begin_tail(self) -> None:
        """Begin an empty tail under the next number; the chunks of the last are wanted no more."""
        pending = self._records
        if pending.state.open_segment == pending.base.state.open_segment:
            pending.left_tail = self._geometry.tail_chunks(pending.base.state)
        pending.tail.clear()
        pending.appended_keys = RecentKeys()
        segment = pending.state.open_segment + 1
        pending.state = pending.state._replace(open_segment=segment, tail_rows=0, tail_dead=0, tail_stamp=0)

    def kill(self, rows: I64) -> None:
        """Mark live rows, distinct and ascending, as dead."""
        pending, commit = self._records, self._records.commit_number
        tail_dead, tail_stamp = pending.state.tail_dead, pending.state.tail_stamp
        for segment, _, positions in self._geometry.by_segment(rows):
            bitmap = pending.bitmap(segment)
            if bitmap is None:
                bitmap = np.zeros(self._geometry.bitmap_bytes, dtype=np.uint8)
            pending.bitmaps[segment], added = with_bits(bitmap, positions)
            if segment == pending.state.open_segment:
                tail_dead, tail_stamp = tail_dead + added, commit
            else:
                dead = pending.table.entries[segment].dead
                pending.change_segment(segment, SegmentEntry(dead + added, commit))
        live_rows = pending.state.live_rows - len(rows)
        pending.state = pending.state._replace(live_rows=live_rows, tail_dead=tail_dead, tail_stamp=tail_stamp)

    def _map_ids(self, ids: IdColumn, first_row: int) -> None:
        """Enter the ids of a sealed segment: as a range where they are consecutive, else in the next run."""
        pending = self._records
        if self._schema.codec.keys_are_ids and (isinstance(ids, RangeColumn) or is_consecutive(ids.user())):
            ranges = with_range(pending.state.ranges, Range(int(ids.at(0)), first_row, len(ids)))
            if ranges is not None:
                pending.state = pending.state._replace(ranges=ranges)
                return
        self._waiting.append((ids, first_row))
        pending.waiting_keys.add(ids, first_row)
        if sum(len(column) for column, _ in self._waiting) >= self._limits.run_entries:
            self.write_run()

    def write_run(self) -> None:
        """Write the ids that wait as a run."""
        if not self._waiting:
            return
        pending = self._records
        keys = np.concatenate([column.keys() for column, _ in self._waiting])
        rows = np.concatenate([contiguous(first_row, len(column)) for column, first_row in self._waiting])
        run = pending.state.next_run
        info = write_run(run, keys, rows, pending.put, self._limits.run_chunk_entries)
        pending.state = pending.state._replace(next_run=run + 1, runs=(*pending.state.runs, info))
        crash_points.reach("run written")
        self._waiting.clear()
        pending.waiting_keys = RecentKeys()
