"""A write transaction: rows appended and rows killed become visible and durable all at once, or not at all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from pqstore.arrays import U8
from pqstore.errors import IndexClosedError, InvalidIdError
from pqstore.storage.disk.crash_points import reach
from pqstore.storage.disk.environment import Environment
from pqstore.storage.disk.lmdb_errors import storage_errors
from pqstore.storage.disk.numbered_state import put_state
from pqstore.storage.format import records
from pqstore.storage.format.catalog import Catalog
from pqstore.storage.format.segment_table import SegmentEntry
from pqstore.storage.format.staged import pack_staged
from pqstore.storage.format.state import Range
from pqstore.storage.idmap.merge import write_run
from pqstore.storage.idmap.ranges import with_range
from pqstore.storage.idmap.recent import RecentKeys
from pqstore.storage.rows.id_columns import IdColumn, RangeColumn, is_consecutive
from pqstore.storage.rows.row_numbers import by_segment, contiguous
from pqstore.storage.rows.tombstones import with_bits
from pqstore.storage.transactions.attachment_writes import Attachments
from pqstore.storage.transactions.cache import Committed
from pqstore.storage.transactions.open_index import Lease
from pqstore.storage.transactions.pending import ChangedState
from pqstore.storage.transactions.snapshot import Shape
from pqstore.storage.transactions.staging import clear_staged

__all__ = ["WriteTransaction"]

_MAX_ID = 2**63 - 1
_RUN_ENTRIES = 1 << 21  # sealed rows whose ids wait in memory until they are written as a run
_STAGE_BYTES = 64 << 20
_MERGE_PER_ROW = 6  # entries merged for each row appended: more than a row is merged in its life (once a tier)
_MERGE_SAVED = 32 * records.RUN_CHUNK_ENTRIES  # what rows before may have left over
_REWRITE_PER_ROW = 4  # rows rewritten for each row appended or killed
_REWRITE_PER_COMMIT = 512


class WriteTransaction(ChangedState):
    """Reads see the transaction's own changes. Rows that `append` returns are good until the transaction ends."""

    def __init__(
        self,
        shape: Shape,
        environment: Environment,
        txn: Any,
        lease: Lease,
        *,
        flush: bool,
        after_commit: Callable[[WriteTransaction], None] | None = None,
    ) -> None:
        super().__init__(shape, environment, txn, lease)
        # Another handle of this process may have opened the file with less durability than this one promises.
        self.flush = flush
        self._flushes = flush and environment.sync and not environment.metasync
        self._dropped_tail: range = range(0)
        self._waiting: list[tuple[IdColumn, int]] = []  # ids of sealed rows that are in no run yet, and their first row
        self._deletions: list[tuple[str, bytes]] = []
        self._written = 0
        self._staged = False
        self._touched = 0
        self._attachments: Attachments | None = None
        self._after_commit = after_commit

    # -- life ----------------------------------------------------------------------------------------------------

    def __enter__(self) -> WriteTransaction:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._lease is None:
            return
        try:
            if kind is None:
                self._commit()
                if self._after_commit is not None:
                    self._after_commit(self)
        finally:
            self.close()

    def close(self) -> None:
        """Undo everything that is not committed."""
        lease, self._lease = self._lease, None
        if lease is None:
            return
        try:
            if self._attachments is not None:
                self._attachments.close()
            self._txn.abort()
            if self._staged:
                with storage_errors(self._environment.path.parent):
                    clear_staged(self._environment)
        finally:
            lease.end()

    # -- what rows bring with them ---------------------------------------------------------------------------------

    @property
    def attachments(self) -> Attachments:
        """What the rows of this transaction bring with them (for this room)."""
        if self._attachments is None:
            self._attachments = Attachments(self, super().catalog)
        return self._attachments

    @property
    def catalog(self) -> Catalog:
        """Names, fields and notes, with this transaction's changes."""
        return super().catalog if self._attachments is None else self._attachments.catalog

    # -- changes -------------------------------------------------------------------------------------------------

    def _put(self, database: str, key: bytes, value: bytes | bytearray) -> None:
        self._txn.put(key, value, db=self._environment.databases[database])
        self._written += len(value)

    def _delete(self, database: str, key: bytes) -> None:
        # Not before the last commit: what is staged on the way must leave the index as it is.
        self._deletions.append((database, key))

    def put(self, database: str, key: bytes, value: bytes | bytearray) -> None:
        """Write a record (for this room)."""
        self._put(database, key, value)

    def delete(self, database: str, key: bytes) -> None:
        """Delete a record, if it is there (for this room)."""
        self._delete(database, key)

    def append(
        self,
        codes: npt.NDArray[Any],
        ids: Any = None,
        originals: U8 | None = None,
        payloads: Sequence[Any] | None = None,
    ) -> Any:
        """Add rows with codes (n, M) and ids that no live row has.

        `originals`, uint8 (n, row_bytes), must be given exactly when the index stores them. `payloads` are maps, or
        None for rows without one.

        Returns their rows, int64 (n,); with `ids` None the index gives int64 ids, and (rows, ids) come back.
        Raises `InvalidIdError` when int64 has no automatic id left.
        """
        self._check_writable()
        count = len(codes)
        if count == 0:
            none = contiguous(0, 0)
            return (none, none.copy()) if ids is None else none
        column: IdColumn
        if ids is None:
            assert self._shape.identity.id_type == "int64", "string ids are given by the caller"
            first = self._current.next_id
            if first + count - 1 > _MAX_ID:
                raise InvalidIdError(f"automatic ids would pass {_MAX_ID}, the largest int64: give ids yourself")
            column = RangeColumn(first, count)
            next_id = first + count
        else:
            column = self._shape.codec.column(ids)
            next_id = self._current.next_id
            if self._shape.identity.id_type == "int64":
                next_id = max(next_id, int(column.user().max()) + 1)
        assert len(column) == count, "one id a row"
        first_row = self._current.open_segment * self._shape.segment_rows + self._current.tail_rows
        with storage_errors(self._environment.path.parent):
            self._store(codes, column)
            if originals is not None or payloads is not None or self._has_fields or self._has_payloads:
                self.attachments.append(first_row, count, originals, payloads)
        self._current = self._current._replace(next_id=next_id, live_rows=self._current.live_rows + count)
        self._touched += count
        rows = contiguous(first_row, count)
        return (rows, column.user().copy()) if ids is None else rows

    def kill(self, rows: npt.ArrayLike) -> int:
        """Mark rows as dead; returns how many were live before. Rows that do not exist are passed over."""
        self._check_writable()
        wanted = np.unique(np.asarray(rows, dtype=np.int64))
        wanted = wanted[self.are_live(wanted)]
        if len(wanted) == 0:
            return 0
        for segment, _, positions in by_segment(wanted, self._shape.segment_rows):
            bitmap = self._bitmap(segment)
            if bitmap is None:
                bitmap = np.zeros(self._shape.segment_rows // 8, dtype=np.uint8)
            self._bitmaps[segment], added = with_bits(bitmap, positions)
            if segment == self._current.open_segment:
                tail_dead = self._current.tail_dead + added
                self._current = self._current._replace(tail_dead=tail_dead, tail_stamp=self._commit_number)
            else:
                dead = self.table.entries[segment].dead
                self._change_segment(segment, SegmentEntry(dead + added, self._commit_number))
        self._current = self._current._replace(live_rows=self._current.live_rows - len(wanted))
        self._touched += len(wanted)
        return len(wanted)

    def declare_field(self, name: str) -> None:
        """Give a payload field an index; the first change of a transaction."""
        self._check_writable()
        assert self._current is self._base, "fields are declared before anything else"
        with storage_errors(self._environment.path.parent):
            self.attachments.declare(name)

    def set_note(self, key: str, value: Any) -> None:
        """Keep a small thing beside the index (None: forget it)."""
        self._check_writable()
        self.attachments.set_note(key, value)

    def save_set(self, name: str, ids: npt.NDArray[Any] | None) -> None:
        """Keep a set of ids, distinct and ascending, under a name (None: forget it)."""
        self._check_writable()
        with storage_errors(self._environment.path.parent):
            self.attachments.save_set(name, ids)

    @property
    def _has_fields(self) -> bool:
        return bool(self.catalog.fields)

    @property
    def _has_attachments(self) -> bool:
        return bool(self._shape.identity.row_bytes) or self._has_fields or self._has_payloads

    @property
    def _has_payloads(self) -> bool:
        return self.catalog.payloads_from is not None

    def _check_writable(self) -> None:
        if self._lease is None:
            raise IndexClosedError("the write transaction has ended")
        self._check()

    # -- the tail ------------------------------------------------------------------------------------------------

    def _store(self, codes: npt.NDArray[Any], ids: IdColumn) -> None:
        """Append rows: to the tail, and whole segments as they fill."""
        at = 0
        if self._tail_recent is None:
            self._tail_recent = RecentKeys(follows_base=self._base.tail_rows > 0)
        while at < len(codes):
            room = self._shape.segment_rows - self._current.tail_rows
            taken = min(room, len(codes) - at)
            first_row = self._current.open_segment * self._shape.segment_rows + self._current.tail_rows
            part = ids.part(at, at + taken)
            self._tail_recent.add(part, first_row)
            if taken == room:
                self._seal(codes[at : at + taken], part)
            else:
                self._extend_tail(codes[at : at + taken], part)
            at += taken
            if self._written > _STAGE_BYTES:
                self._stage()

    def _extend_tail(self, codes: npt.NDArray[Any], ids: IdColumn) -> None:
        packing, size = self._shape.packing, self._shape.chunk_rows
        at = 0
        while at < len(codes):
            row = self._current.open_segment * self._shape.segment_rows + self._current.tail_rows
            chunk, before = divmod(row, size)
            taken = min(size - before, len(codes) - at)
            new_codes, new_ids = codes[at : at + taken], ids.part(at, at + taken)
            if before:
                packed = packing.extend(self._tail_codes(chunk), before, new_codes)
                new_ids = self._shape.codec.concat([self._tail_ids(chunk), new_ids])
            else:
                packed = packing.pack(new_codes)
                if np.may_share_memory(packed, codes):
                    packed = packed.copy()  # it is kept beyond this call, and the caller may change its array
            self._tail[chunk] = packed, new_ids
            self._current = self._current._replace(tail_rows=self._current.tail_rows + taken)
            at += taken

    def _seal(self, codes: npt.NDArray[Any], ids: IdColumn) -> None:
        """The tail and these rows, which fill it, become a segment."""
        packing, state = self._shape.packing, self._current
        segment, span = state.open_segment, self._tail_span()
        before = state.tail_rows % self._shape.chunk_rows
        parts = [self._tail_codes(chunk) for chunk in span]
        if before:
            parts[-1] = packing.extend(parts[-1], before, codes)
        else:
            parts.append(packing.pack(codes))
        column = self._shape.codec.concat([*(self._tail_ids(chunk) for chunk in span), ids])
        rows = self._shape.segment_rows
        self._put("codes", records.key1(segment), records.pack_record(records.CODES, segment, 0, rows, list(parts)))
        encoding, id_parts = column.encode(tail=False)
        self._put(
            "rowids", records.key1(segment), records.pack_record(records.ROWIDS, segment, 0, rows, id_parts, encoding)
        )
        self._leave_tail(span)
        self._change_segment(segment, SegmentEntry(state.tail_dead, state.tail_stamp))
        self._current = state._replace(open_segment=segment + 1, tail_rows=0, tail_dead=0, tail_stamp=0)
        self._map_ids(column, segment * rows)
        reach("segment sealed")

    def _leave_tail(self, span: range) -> None:
        """The chunks of the tail are wanted no more."""
        if self.state.open_segment == self._base.open_segment:
            self._dropped_tail = span[: -(-self._base.tail_rows // self._shape.chunk_rows)]
        self._tail.clear()
        self._tail_recent = RecentKeys()

    # -- the id map ----------------------------------------------------------------------------------------------

    def _map_ids(self, ids: IdColumn, first_row: int) -> None:
        """Enter the ids of a sealed segment: as a range where they are consecutive, else in the next run."""
        if self._shape.codec.keys_are_ids and (isinstance(ids, RangeColumn) or is_consecutive(ids.user())):
            ranges = with_range(self._current.ranges, Range(int(ids.at(0)), first_row, len(ids)))
            if ranges is not None:
                self._current = self._current._replace(ranges=ranges)
                return
        self._waiting.append((ids, first_row))
        self._waiting_keys.add(ids, first_row)
        if sum(len(column) for column, _ in self._waiting) >= _RUN_ENTRIES:
            self._write_run()

    def _write_run(self) -> None:
        """Write the ids that wait as a run."""
        if not self._waiting:
            return
        keys = np.concatenate([column.keys() for column, _ in self._waiting])
        rows = np.concatenate([contiguous(first_row, len(column)) for column, first_row in self._waiting])
        run = self._current.next_run
        info = write_run(run, keys, rows, self._put)
        self._current = self._current._replace(next_run=run + 1, runs=(*self._current.runs, info))
        reach("run written")
        self._waiting.clear()
        self._waiting_keys = RecentKeys()

    def _earn(self) -> None:
        """Rows added and removed allow that much maintenance; what is left from before does not pile up."""
        state = self.state
        self._current = state._replace(
            merge_allowance=min(state.merge_allowance, _MERGE_SAVED) + _MERGE_PER_ROW * self._touched,
            rewrite_allowance=min(state.rewrite_allowance, self._shape.segment_rows)
            + _REWRITE_PER_ROW * self._touched
            + _REWRITE_PER_COMMIT,
        )

    # -- commit --------------------------------------------------------------------------------------------------

    def _stage(self) -> None:
        """Write sealed segments and runs to the disk before the commit that makes them part of the index.

        LMDB holds all pages that a transaction changes in memory. Until the last commit nothing refers to these.
        """
        new_segments = [self._base.open_segment, self._current.open_segment]
        new_runs = [info.run for info in self._current.runs if info not in self._base.runs]
        meta = self._environment.databases["meta"]
        self._txn.put(records.STAGED_KEY, pack_staged(new_segments, new_runs), db=meta)
        put_state(self._txn, meta, self._base)
        self._txn.commit()
        self._staged = True
        self._txn = self._environment.begin(write=True)
        self._written = 0
        reach("transaction staged")

    def _commit(self) -> None:
        noted = self._attachments is not None and self._attachments.changed
        if self._current is self._base and not self._bitmaps and not noted:
            return
        with storage_errors(self._environment.path.parent):
            self._write_run()
            self._earn()
            if self._attachments is not None:
                self._attachments.write_changes()
            self._write_changes()
            if self._attachments is not None:
                self._attachments.sync()
            reach("before commit")
            number = int(self._txn.id())
            self._txn.commit()
            reach("after commit")
            self._staged = False
            if self._flushes:
                self._environment.flush()
            self._remember(number)
            if self._attachments is not None:
                self._attachments.committed()

    def _remember(self, number: int) -> None:
        """Spare the next transaction of this process the reading of what this one has just written."""
        committed = Committed(number, self.state, self.table)
        for chunk, (packed, ids) in self._tail.items():
            if len(ids) < self._shape.chunk_rows:
                packed.flags.writeable = False
                committed.tail_codes[chunk] = packed
                committed.tail_ids[chunk] = ids
        self._cache.put(committed)

    def _write_changes(self) -> None:
        """Everything that was held in memory."""
        if self._staged:
            self._delete("meta", records.STAGED_KEY)
        for chunk in self._dropped_tail:
            for column in (records.COLUMN_CODES, records.COLUMN_IDS):
                self._delete("tail", records.key2(column, chunk))
        for chunk, (packed, ids) in self._tail.items():
            encoding, parts = ids.encode(tail=True)
            for column, column_parts, column_encoding in (
                (records.COLUMN_CODES, [packed], 0),
                (records.COLUMN_IDS, parts, encoding),
            ):
                record = records.pack_record(
                    records.tail_kind(column), column, chunk, len(ids), column_parts, column_encoding
                )
                self._put("tail", records.key2(column, chunk), record)
        for segment, bitmap in self._bitmaps.items():
            dead = (
                self._current.tail_dead if segment == self._current.open_segment else self.table.entries[segment].dead
            )
            record = records.pack_record(records.TOMBSTONES, segment, 0, dead, [bitmap])
            self._put("tombstones", records.key1(segment), record)
        for segment, entry in self._changed.items():
            if entry is None:
                self._delete("segments", records.key1(segment))
            else:
                value = records.pack_segment(segment, self._shape.segment_rows, entry.dead, entry.stamp)
                self._put("segments", records.key1(segment), value)
        for database, key in self._deletions:
            self._txn.delete(key, db=self._environment.databases[database])
        table_stamp = self._commit_number if self._changed else self._base.table_stamp
        self._current = self._current._replace(commit=self._commit_number, table_stamp=table_stamp)
        self._current = put_state(self._txn, self._environment.databases["meta"], self._current)
