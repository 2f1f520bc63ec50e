"""What a transaction writes beside codes and ids: originals, payloads, columns of fields.

Rows never change: a new payload is a new row. So nothing here is edited; it is written with a row, moves with a row
that is rewritten, and goes with its segment. Payloads of new rows go to LMDB at once, so that a long
transaction does not hold them; everything else waits in memory for the commit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from pqstore.arrays import I64, U8
from pqstore.errors import PQStoreError
from pqstore.storage.attachments.ends import refuse_other_ends
from pqstore.storage.attachments.field_column import FieldColumn
from pqstore.storage.attachments.field_entries import FieldEntries
from pqstore.storage.attachments.field_paths import ABSENT, field_value
from pqstore.storage.attachments.field_records import read_field, read_tail_field
from pqstore.storage.attachments.original_files import OriginalWriter, remove_originals, stored_segments
from pqstore.storage.attachments.payload_records import (
    RECORD_BYTES,
    PackedPayloads,
    PayloadPacker,
    Unreadable,
    pack_payloads,
)
from pqstore.storage.disk import crash_points
from pqstore.storage.format import records
from pqstore.storage.format.catalog import Catalog
from pqstore.storage.transactions.attachment_reads import AttachmentReads
from pqstore.storage.transactions.features import declare_feature
from pqstore.storage.transactions.pending import PendingRecords

__all__ = ["AttachmentWrites"]


class AttachmentWrites:
    """Those of one write transaction."""

    def __init__(self, pending: PendingRecords, reads: AttachmentReads) -> None:
        self._records = pending
        self._reads = reads
        self._schema = pending.schema
        self._geometry = pending.schema.geometry
        self._packer: PayloadPacker | None = None
        self._originals: OriginalWriter | None = None
        self._gone_segments: list[int] = []
        self._gone_chunks = range(0)  # of the tail
        self._columns: dict[tuple[int, int], FieldEntries] = {}  # by chunk of the open segment, and field
        self._sealed: dict[tuple[int, int], FieldEntries] = {}  # by segment sealed here, and field; until written
        self._open = pending.base.state.open_segment

    @property
    def _catalog(self) -> Catalog:
        """As this transaction leaves it."""
        return self._records.catalog

    def _change_catalog(self, **changes: Any) -> None:
        self._records.changed_catalog = replace(self._records.catalog, **changes)

    def append(self, first_row: int, count: int, originals: U8 | None, payloads: Sequence[Any] | None) -> None:
        """Rows `first_row ..` were appended; called with them in place."""
        row_bytes = self._schema.identity.row_bytes
        if row_bytes:
            assert originals is not None, "this index stores originals"
            assert originals.shape == (count, row_bytes), "one original a row"
            self._writer().write(first_row, originals)
        if payloads is not None:
            assert len(payloads) == count, "one payload a row"
            payloads = list(payloads)
        self._put_payloads(first_row, count, payloads)
        if payloads is not None:
            for number, name in enumerate(self._catalog.fields):
                if number == self._records.state.expiry:
                    refuse_other_ends(payloads, name)
                self._enter(first_row, number, name, payloads)
        self._flush_sealed()

    def _writer(self) -> OriginalWriter:
        if self._originals is None:
            row_bytes, rows = self._schema.identity.row_bytes, self._geometry.segment_rows
            self._originals = OriginalWriter(self._records.generation.path, row_bytes, rows)
        return self._originals

    def _put_payloads(self, first_row: int, count: int, payloads: list[Any] | None) -> None:
        """Write payloads; afterwards the list holds what was written."""
        if self._catalog.payloads_from is None:
            if payloads is None or all(payload is None for payload in payloads):
                return
            self._change_catalog(payloads_from=first_row)
        if payloads is None:
            packed = PackedPayloads.none(count)
        else:
            if self._packer is None:
                self._packer = PayloadPacker(self._catalog.names)
            packed = self._packer.pack_all(payloads)
            if len(self._packer.names) > len(self._catalog.names):
                self._change_catalog(names=tuple(self._packer.names))
        self._put_payload_records(first_row, packed)

    def _put_payload_records(self, first_row: int, packed: PackedPayloads) -> None:
        """Payloads of rows that are beyond all rows that have one."""
        first = self._catalog.payloads_from
        assert first is not None, "rows before this one may have none"
        follows = first_row > first and self._geometry.locate(first_row)[1] > 0
        last = self._reads.payload_record(first_row - 1) if follows else None
        if last is not None:
            kept = last.before(first_row)
            # Small batches fill the last record. It is written anew each time, so it is let be before it is at its
            # largest; but not with rows that a transaction staged in it which never ended: records do not overlap.
            if last.stop > first_row or len(kept.content) + len(packed.content) <= RECORD_BYTES // 2:
                packed, first_row = kept.followed_by(packed), last.first_row
        at = 0
        while at < len(packed.ends):
            segment, _ = self._geometry.locate(first_row + at)
            stop = min(len(packed.ends), self._geometry.first_row(segment + 1) - first_row)
            for row, record in pack_payloads(first_row + at, packed.part(at, stop)):
                self._records.put("payloads", records.key1(row), record)
            at = stop

    def _enter(self, first_row: int, number: int, name: str, payloads: Sequence[Any]) -> None:
        """Enter one field of the payloads of new rows."""
        at = 0
        while at < len(payloads):
            chunk, before = self._geometry.locate_chunk(first_row + at)
            part = payloads[at : at + self._geometry.chunk_rows - before]
            entries, shift = self._entries_at(chunk, number)
            positions = range(shift + before, shift + before + len(part))
            values = _values(part, name)
            if values is not None:
                entries.add_many(values, positions)
            else:
                for position, payload in zip(positions, part, strict=True):
                    _add_value(entries, position, payload, name)
            at += len(part)

    def _entries_at(self, chunk: int, number: int) -> tuple[FieldEntries, int]:
        """Where entries of a chunk go, and what to add to positions in the chunk."""
        segment, position = self._geometry.place_of_chunk(chunk)
        if segment < self._records.state.open_segment:
            return self._sealed_entries(segment, number), position
        entries = self._columns.get((chunk, number))
        if entries is None:
            entries = self._columns[chunk, number] = _stored_entries(self._records, chunk, number)
        return entries, 0

    def _sealed_entries(self, segment: int, number: int) -> FieldEntries:
        """Entries of a segment that this transaction has sealed, those of its rows in the tail before included."""
        entries = self._sealed.get((segment, number))
        if entries is None:
            entries = self._sealed[segment, number] = FieldEntries()
            for chunk in self._geometry.chunks_of(segment):
                part = self._columns.pop((chunk, number), None) or _stored_entries(self._records, chunk, number)
                _, shift = self._geometry.place_of_chunk(chunk)
                entries.extend(part, shift)
        return entries

    def _flush_sealed(self) -> None:
        """Write the columns of segments that are full."""
        now = self._records.state.open_segment
        fields = range(len(self._catalog.fields))
        if now > self._open and fields:
            for segment in range(self._open, now):
                if segment not in self._records.table.entries:
                    continue  # the open segment was begun again under another number
                for number in fields:
                    content = self._sealed_entries(segment, number).pack(self._geometry.segment_rows)
                    self.put_column(segment, number, content)
            base = self._records.base.state
            if self._open == base.open_segment:
                self._gone_chunks = self._geometry.tail_chunks(base)
        self._sealed.clear()
        self._open = now

    def put_column(self, segment: int, number: int, content: bytes) -> None:
        """Write the column of a sealed segment."""
        record = records.pack_record(records.FIELD, segment, number, self._geometry.segment_rows, [content])
        self._records.put("fields", records.key2(segment, number), record)

    def moving(self, segment: int, live: I64) -> Callable[[int], None]:
        """The rows at positions `live` of a segment, sealed or open, are about to be appended again, and the segment to
        go; call the result with the first new row."""
        rows = self._geometry.first_row(segment) + live
        originals = self._reads.originals_of(rows) if self._schema.identity.row_bytes else None
        columns = [self._live_entries(segment, number, live) for number in range(len(self._catalog.fields))]
        payloads = None if self._catalog.payloads_from is None else self._reads.packed_payloads_of(rows)

        def moved(first_new: int) -> None:
            if originals is not None and len(live):
                self._writer().write(first_new, originals)
            if payloads is not None:
                self._put_payload_records(first_new, payloads)
            for number, entries in enumerate(columns):
                self._enter_again(entries, number, live, first_new)
            self._flush_sealed()

        return moved

    def _live_entries(self, segment: int, number: int, live: I64) -> FieldEntries:
        """What a field's column says of the rows at positions `live` of a segment."""
        entries = FieldEntries()
        rows = self._geometry.segment_rows
        if segment != self._records.state.open_segment:
            keep = np.full(rows, -1, dtype=np.int64)
            keep[live] = live
            read_field(self._records.get, segment, number, rows).entries(entries, keep)
            return entries
        alive = set(live.tolist())
        for chunk in self._geometry.tail_chunks(self._records.state):
            part = self._columns.get((chunk, number)) or _stored_entries(self._records, chunk, number)
            _, shift = self._geometry.place_of_chunk(chunk)
            entries.extend(part, shift, alive)
        return entries

    def _enter_again(self, entries: FieldEntries, number: int, live: I64, first_new: int) -> None:
        """Enter what is known of moved rows, chunk by chunk of their new places."""
        for tag, (keys, positions) in entries.groups.items():
            new_rows = first_new + np.searchsorted(live, np.array(positions, dtype=np.int64))
            for key, row in zip(keys, new_rows.tolist(), strict=True):
                chunk, offset = self._geometry.locate_chunk(row)
                into, shift = self._entries_at(chunk, number)
                into.enter(tag, key, offset + shift)

    def drop(self, segment: int) -> None:
        """A segment is gone."""
        self._gone_segments.append(segment)

    def declare(self, name: str, unreadable: Unreadable | None) -> None:
        """Give a field an index, over all live rows; first of all changes of a transaction."""
        if name in self._catalog.fields:
            return
        number = len(self._catalog.fields)
        rows, state = self._geometry.segment_rows, self._records.state
        for segment in self._records.table.entries:
            live = _live(self._records.bitmap(segment), 0, rows)
            entries = _entries_of(self._reads, self._geometry.first_row(segment), live, name, unreadable)
            self.put_column(segment, number, entries.pack(rows))
        dead = self._records.bitmap(state.open_segment)
        for chunk in self._geometry.tail_chunks(state):
            _, position = self._geometry.place_of_chunk(chunk)
            live = _live(dead, position, self._geometry.rows_in_chunk(chunk, state))
            first_row = self._geometry.first_row_of_chunk(chunk)
            self._columns[chunk, number] = _entries_of(self._reads, first_row, live, name, unreadable)
        self._change_catalog(fields=(*self._catalog.fields, name))
        if name == records.VECTORLESS_KEY:  # another process was the first to need it, while this one rebuilt
            declare_feature(self._records, records.VECTORLESS)

    def declare_vectorless(self) -> None:
        """Let rows say that they have no vector; none does so far, so nothing need be read. At any time."""
        name, catalog = records.VECTORLESS_KEY, self._catalog
        if name in catalog.fields:
            return
        if catalog.names_are_full or name in catalog.names:
            raise PQStoreError(
                f"index at {self._records.generation.index}: its payloads have {len(catalog.names):,} different keys, "
                f"or one that is called {name!r}: rows without a vector cannot be told apart"
            )
        number, rows = len(catalog.fields), self._geometry.segment_rows
        for segment in self._records.table.entries:
            self.put_column(segment, number, FieldEntries().pack(rows))
        for chunk in self._geometry.tail_chunks(self._records.state):
            self._columns[chunk, number] = FieldEntries()
        self._change_catalog(fields=(*catalog.fields, name), names=(*catalog.names, name))
        self._packer = None
        declare_feature(self._records, records.VECTORLESS)

    def columns(self, number: int) -> Iterator[tuple[int, FieldColumn]]:
        """(first row, column) of a field over all rows, as the transaction has left it so far."""
        state, rows, get = self._records.state, self._geometry.segment_rows, self._records.get
        for segment in self._records.table.entries:
            yield self._geometry.first_row(segment), read_field(get, segment, number, rows)
        for chunk in self._geometry.tail_chunks(state):
            entries = self._columns.get((chunk, number)) or _stored_entries(self._records, chunk, number)
            count = self._geometry.rows_in_chunk(chunk, state)
            name = records.record_name(records.FIELD_TAIL, chunk, number)
            yield (
                self._geometry.first_row_of_chunk(chunk),
                FieldColumn(memoryview(entries.pack(count)), count, name),
            )

    def sync(self) -> None:
        """Originals on the disk: before the commit that makes their rows count."""
        if self._originals is not None:
            crash_points.reach("originals written")
            self._originals.sync()
            crash_points.reach("originals synced")

    def write_changes(self) -> None:
        """Everything that was held in memory."""
        numbers = range(len(self._catalog.fields))
        for segment in self._gone_segments:
            self._delete_segment(segment, numbers)
        for chunk in self._gone_chunks:
            for number in numbers:
                self._records.delete("tailfields", records.key2(chunk, number))
        if numbers:
            self._write_tail_columns(numbers)
        if self._records.catalog_changed:
            self._records.put("meta", records.CATALOG_KEY, self._catalog.pack())

    def _delete_segment(self, segment: int, numbers: range) -> None:
        rows = self._geometry.rows_of(segment)
        for first_row, _ in self._reads.payload_values(rows.start, rows.stop):
            if first_row >= rows.start:
                self._records.delete("payloads", records.key1(first_row))
        for number in numbers:
            self._records.delete("fields", records.key2(segment, number))

    def _write_tail_columns(self, numbers: range) -> None:
        state, base, size = self._records.state, self._records.base.state, self._geometry.chunk_rows
        # Chunks that were full before have their columns, but for those of a new field.
        before = base.tail_rows if state.open_segment == base.open_segment else 0
        for chunk in self._geometry.tail_chunks(state):
            _, position = self._geometry.place_of_chunk(chunk)
            rows = self._geometry.rows_in_chunk(chunk, state)
            for number in numbers:
                entries = self._columns.get((chunk, number))
                if entries is None:
                    if position + size <= before or before == state.tail_rows:
                        continue
                    entries = _stored_entries(self._records, chunk, number)
                record = records.pack_record(records.FIELD_TAIL, chunk, number, rows, [entries.pack(rows)])
                self._records.put("tailfields", records.key2(chunk, number), record)

    def committed(self) -> None:
        """Remove files of segments that no state knows that anyone may still be reading."""
        if not self._schema.identity.row_bytes:
            return
        generation, open_segment = self._records.generation, self._records.state.open_segment
        originals = generation.originals
        dropped = self._gone_segments or originals.leftovers
        there = stored_segments(generation.path) if dropped else []
        gone = [n for n in there if n < open_segment and n not in self._records.table.entries]
        # A snapshot of an earlier commit reads them still; the next writer looks again.
        originals.leftovers = bool(gone) and generation.environment.readers.lag()[0] > 0
        if gone and not originals.leftovers:
            remove_originals(generation.path, gone)
            for segment in gone:
                originals.forget(segment)

    def close(self) -> None:
        """The transaction has ended, one way or the other."""
        if self._originals is not None:
            self._originals.close()


def _stored_entries(pending: PendingRecords, chunk: int, number: int) -> FieldEntries:
    """What the tail holds of a chunk already."""
    entries = FieldEntries()
    column = read_tail_field(pending.get, chunk, number, pending.schema.geometry.chunk_rows)
    if column is not None:
        column.entries(entries, np.arange(column.rows, dtype=np.int64))
    return entries


def _entries_of(
    reads: AttachmentReads, first_row: int, live: npt.NDArray[np.bool_], name: str, unreadable: Unreadable | None
) -> FieldEntries:
    """What the payloads of live rows that are stored say of a field."""
    entries = FieldEntries()
    for row, payload in reads.payload_items(first_row, live, unreadable):
        _add_value(entries, row - first_row, payload, name)
    return entries


def _live(dead: U8 | None, start: int, count: int) -> npt.NDArray[np.bool_]:
    """Which of `count` rows of a segment, from position `start` on, are not dead."""
    if dead is None:
        return np.ones(count, dtype=np.bool_)
    return np.unpackbits(dead[start // 8 :], count=count, bitorder="little") == 0


def _add_value(entries: FieldEntries, position: int, payload: Mapping[str, Any] | None, field: str) -> None:
    value = ABSENT if payload is None else field_value(payload, field)
    if value is not ABSENT:
        entries.add(position, value)


def _values(payloads: Sequence[Any], name: str) -> list[Any] | None:
    """The values of a field that all payloads have; None when one lacks it, or may have a mind of its own about it."""
    if set(map(type, payloads)) != {dict}:
        return None
    try:
        return [payload[name] for payload in payloads]
    except KeyError:
        return None
