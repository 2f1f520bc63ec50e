"""What a transaction writes beside codes and ids: originals, payloads, columns of fields, saved sets.

Rows never change: a new payload is a new row. So nothing here is edited; it is written with a row, moves with a row
that is rewritten, and goes with its segment. Payloads of new rows go to LMDB at once, so that a long
transaction does not hold them; everything else waits in memory for the commit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pqstore.arrays import I64, U8
from pqstore.storage.attachments.field_column import FieldEntries
from pqstore.storage.attachments.original_files import OriginalWriter, remove_originals, stored_segments
from pqstore.storage.attachments.payload_records import RECORD_BYTES, PackedPayloads, PayloadPacker, pack_payloads
from pqstore.storage.attachments.saved_sets import SavedSet, pack_set
from pqstore.storage.disk.crash_points import reach
from pqstore.storage.format import records
from pqstore.storage.format.catalog import Catalog

if TYPE_CHECKING:
    from pqstore.storage.transactions.write import WriteTransaction

__all__ = ["Attachments"]


class Attachments:
    """The attachments of one write transaction."""

    def __init__(self, txn: WriteTransaction, catalog: Catalog) -> None:
        self._txn = txn
        self._shape = txn.shape
        self._catalog = self._base_catalog = catalog
        self._packer: PayloadPacker | None = None
        self._originals: OriginalWriter | None = None
        self._gone_segments: list[int] = []
        self._gone_chunks: list[int] = []
        self._columns: dict[tuple[int, int], FieldEntries] = {}  # by chunk of the open segment, and field
        self._sealed: dict[tuple[int, int], FieldEntries] = {}  # by segment sealed here, and field; until written
        self._open = txn.base.open_segment

    @property
    def catalog(self) -> Catalog:
        """As this transaction leaves it."""
        return self._catalog

    @property
    def changed(self) -> bool:
        return self._catalog != self._base_catalog

    def set_note(self, key: str, value: Any) -> None:
        """Keep, or with None forget, a small thing."""
        notes = {name: entry for name, entry in self._catalog.notes.items() if name != key}
        if value is not None:
            notes[key] = value
        self._catalog = replace(self._catalog, notes=notes)

    def save_set(self, name: str, ids: npt.NDArray[Any] | None) -> None:
        """Keep ids, distinct and ascending, under a name, in place of those there; None: forget the set."""
        sets = dict(self._catalog.sets)
        old = sets.pop(name, None)
        if old is not None:
            for ordinal in range(old.chunks):
                self._txn.delete("sets", records.key2(old.number, ordinal))
        number = self._catalog.next_set
        if ids is not None:
            for key, record in pack_set(number, ids, self._shape.codec):
                self._txn.put("sets", key, record)
            sets[name] = SavedSet(number, len(ids))
            number += 1
        self._catalog = replace(self._catalog, sets=sets, next_set=number)

    # -- rows come ---------------------------------------------------------------------------------------------------

    def append(self, first_row: int, count: int, originals: U8 | None, payloads: Sequence[Any] | None) -> None:
        """Rows `first_row ..` were appended; called with them in place."""
        if self._shape.identity.row_bytes:
            assert originals is not None, "this index stores originals"
            assert originals.shape == (count, self._shape.identity.row_bytes), "one original a row"
            self._writer().write(first_row, originals)
        if payloads is not None:
            assert len(payloads) == count, "one payload a row"
            for number, name in enumerate(self._catalog.fields):
                self._enter(first_row, number, name, payloads)
        self._put_payloads(first_row, count, payloads)
        self._flush_sealed()

    def _writer(self) -> OriginalWriter:
        if self._originals is None:
            generation = self._txn.environment.path
            self._originals = OriginalWriter(generation, self._shape.identity.row_bytes, self._shape.segment_rows)
        return self._originals

    def _put_payloads(self, first_row: int, count: int, payloads: Sequence[Any] | None) -> None:
        if self._catalog.payloads_from is None:
            if payloads is None or all(payload is None for payload in payloads):
                return
            self._catalog = replace(self._catalog, payloads_from=first_row)
        if payloads is None:
            packed = PackedPayloads.none(count)
        else:
            if self._packer is None:
                self._packer = PayloadPacker(self._catalog.names)
            packed = self._packer.pack_all(payloads)
            if len(self._packer.names) > len(self._catalog.names):
                self._catalog = replace(self._catalog, names=tuple(self._packer.names))
        self._put_payload_records(first_row, packed)

    def _put_payload_records(self, first_row: int, packed: PackedPayloads) -> None:
        """Payloads of rows that are beyond all rows that have one."""
        rows = self._shape.segment_rows
        first = self._catalog.payloads_from
        assert first is not None, "rows before this one may have none"
        last = self._txn.payload_record(first_row - 1) if first_row % rows and first_row > first else None
        # Small batches fill the last record. It is written anew each time, so it is let be before it is at its largest.
        if last is not None and last.content.nbytes + len(packed.content) <= RECORD_BYTES // 2:
            packed = last.before(first_row).followed_by(packed)
            first_row = last.first_row
        at = 0
        while at < len(packed.ends):
            stop = min(len(packed.ends), at + rows - (first_row + at) % rows)
            for row, record in pack_payloads(first_row + at, packed.part(at, stop)):
                self._txn.put("payloads", records.key1(row), record)
            at = stop

    def _enter(self, first_row: int, number: int, name: str, payloads: Sequence[Any]) -> None:
        """Enter one field of the payloads of new rows."""
        size = self._shape.chunk_rows
        at = 0
        while at < len(payloads):
            chunk, before = divmod(first_row + at, size)
            part = payloads[at : at + size - before]
            entries, shift = self._entries_at(chunk, number)
            positions = range(shift + before, shift + before + len(part))
            values = _values(part, name)
            if values is not None:
                entries.add_many(values, positions)
            else:
                for position, payload in zip(positions, part, strict=True):
                    if payload is not None and name in payload:
                        entries.add(position, payload[name])
            at += len(part)

    def _entries_at(self, chunk: int, number: int) -> tuple[FieldEntries, int]:
        """Where entries of a chunk go, and what to add to positions in the chunk."""
        per_segment = self._shape.segment_rows // self._shape.chunk_rows
        segment = chunk // per_segment
        if segment < self._txn.state.open_segment:
            return self._sealed_entries(segment, number), chunk % per_segment * self._shape.chunk_rows
        entries = self._columns.get((chunk, number))
        if entries is None:
            entries = self._columns[chunk, number] = self._stored_entries(chunk, number)
        return entries, 0

    def _stored_entries(self, chunk: int, number: int) -> FieldEntries:
        """What the tail holds of a chunk already."""
        entries = FieldEntries()
        column = self._txn.stored_tail_column(chunk, number)
        if column is not None:
            column.entries(entries, np.arange(column.rows, dtype=np.int64))
        return entries

    def _sealed_entries(self, segment: int, number: int) -> FieldEntries:
        """Entries of a segment that this transaction has sealed, those of its rows in the tail before included."""
        entries = self._sealed.get((segment, number))
        if entries is None:
            entries = self._sealed[segment, number] = FieldEntries()
            size = self._shape.chunk_rows
            first = segment * self._shape.segment_rows // size
            for chunk in range(first, first + self._shape.segment_rows // size):
                part = self._columns.pop((chunk, number), None) or self._stored_entries(chunk, number)
                shift = (chunk - first) * size
                entries.extend(part, shift)
        return entries

    def _flush_sealed(self) -> None:
        """Write the columns of segments that are full."""
        now = self._txn.state.open_segment
        fields = range(len(self._catalog.fields))
        if now > self._open and fields:
            for segment in range(self._open, now):
                if segment not in self._txn.table.entries:
                    continue  # the open segment was begun again under another number
                for number in fields:
                    content = self._sealed_entries(segment, number).pack(self._shape.segment_rows)
                    self.put_column(segment, number, content)
            if self._base_segment_sealed():
                self._drop_tail_columns()
        self._sealed.clear()
        self._open = now

    def _base_segment_sealed(self) -> bool:
        return self._open == self._txn.base.open_segment

    def _drop_tail_columns(self) -> None:
        base, size = self._txn.base, self._shape.chunk_rows
        first = base.open_segment * self._shape.segment_rows // size
        self._gone_chunks = list(range(first, first + -(-base.tail_rows // size)))

    def put_column(self, segment: int, number: int, content: bytes) -> None:
        """Write the column of a sealed segment."""
        record = records.pack_record(records.FIELD, segment, number, self._shape.segment_rows, [content])
        self._txn.put("fields", records.key2(segment, number), record)

    # -- rows go, and move ---------------------------------------------------------------------------------------------

    def moving(self, segment: int, live: I64) -> Callable[[int], None]:
        """The rows at positions `live` of a segment, sealed or open, are about to be appended again, and the segment to
        go; call the result with the first new row."""
        rows = segment * self._shape.segment_rows + live
        originals = self._txn.originals_of(rows) if self._shape.identity.row_bytes else None
        columns = [self._live_entries(segment, number, live) for number in range(len(self._catalog.fields))]
        payloads = None if self._catalog.payloads_from is None else self._txn.packed_payloads_of(rows)

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
        if segment != self._txn.state.open_segment:
            keep = np.full(self._shape.segment_rows, -1, dtype=np.int64)
            keep[live] = live
            self._txn.read_column(segment, number).entries(entries, keep)
            return entries
        size, alive = self._shape.chunk_rows, set(live.tolist())
        first = segment * self._shape.segment_rows // size
        for chunk in range(first, first + -(-self._txn.state.tail_rows // size)):
            part = self._columns.get((chunk, number)) or self._stored_entries(chunk, number)
            entries.extend(part, (chunk - first) * size, alive)
        return entries

    def _enter_again(self, entries: FieldEntries, number: int, live: I64, first_new: int) -> None:
        """Enter what is known of moved rows, chunk by chunk of their new places."""
        size = self._shape.chunk_rows
        for tag, (keys, positions) in entries.groups.items():
            new_rows = first_new + np.searchsorted(live, np.array(positions, dtype=np.int64))
            for key, row in zip(keys, new_rows.tolist(), strict=True):
                into, shift = self._entries_at(row // size, number)
                into.enter(tag, key, row % size + shift)

    def drop(self, segment: int) -> None:
        """A segment is gone."""
        self._gone_segments.append(segment)

    # -- fields ------------------------------------------------------------------------------------------------------

    def declare(self, name: str) -> None:
        """Give a field an index, over all rows that are stored; first of all changes of a transaction."""
        if name in self._catalog.fields:
            return
        number = len(self._catalog.fields)
        names = self._catalog.names
        rows = self._shape.segment_rows
        for segment in self._txn.table.entries:
            entries = FieldEntries()
            for row, payload in self._txn.payload_items(segment * rows, (segment + 1) * rows, names):
                if name in payload:
                    entries.add(row - segment * rows, payload[name])
            self.put_column(segment, number, entries.pack(rows))
        size, state = self._shape.chunk_rows, self._txn.state
        first = state.open_segment * rows
        for start in range(first, first + state.tail_rows, size):
            self._columns[start // size, number] = entries = FieldEntries()
            for row, payload in self._txn.payload_items(start, min(start + size, first + state.tail_rows), names):
                if name in payload:
                    entries.add(row - start, payload[name])
        self._catalog = replace(self._catalog, fields=(*self._catalog.fields, name))

    # -- commit ------------------------------------------------------------------------------------------------------

    def sync(self) -> None:
        """Originals on the disk: before the commit that makes their rows count."""
        if self._originals is not None:
            reach("originals written")
            self._originals.sync()
            reach("originals synced")

    def write_changes(self) -> None:
        """Everything that was held in memory."""
        numbers = range(len(self._catalog.fields))
        rows = self._shape.segment_rows
        for segment in self._gone_segments:
            for first_row, _ in self._txn.payload_values(segment * rows, (segment + 1) * rows):
                if first_row >= segment * rows:
                    self._txn.delete("payloads", records.key1(first_row))
            for number in numbers:
                self._txn.delete("fields", records.key2(segment, number))
        for chunk in self._gone_chunks:
            for number in numbers:
                self._txn.delete("tailfields", records.key2(chunk, number))
        state, base, size = self._txn.state, self._txn.base, self._shape.chunk_rows
        first = state.open_segment * self._shape.segment_rows
        # Chunks that were full before have their columns, but for those of a new field.
        grown = base.tail_rows if state.open_segment == base.open_segment else 0
        for at in range(0, state.tail_rows, size):
            chunk, rows = (first + at) // size, min(size, state.tail_rows - at)
            for number in numbers:
                entries = self._columns.get((chunk, number))
                if entries is None:
                    if at + size <= grown or grown == state.tail_rows:
                        continue
                    entries = self._stored_entries(chunk, number)
                record = records.pack_record(records.FIELD_TAIL, chunk, number, rows, [entries.pack(rows)])
                self._txn.put("tailfields", records.key2(chunk, number), record)
        if self.changed:
            self._txn.put("meta", records.CATALOG_KEY, self._catalog.pack())

    def committed(self) -> None:
        """Remove files of segments that no state knows that anyone may still be reading."""
        if not self._shape.identity.row_bytes:
            return
        environment = self._txn.environment
        dropped = self._gone_segments or environment.originals.leftovers
        there = stored_segments(environment.path) if dropped else []
        gone = [n for n in there if n < self._txn.state.open_segment and n not in self._txn.table.entries]
        # A snapshot of an earlier commit reads them still; the next writer looks again.
        environment.originals.leftovers = bool(gone) and environment.reader_lag()[0] > 0
        if gone and not environment.originals.leftovers:
            remove_originals(environment.path, gone)
            for segment in gone:
                environment.originals.forget(segment)

    def close(self) -> None:
        """The transaction has ended, one way or the other."""
        if self._originals is not None:
            self._originals.close()


def _values(payloads: Sequence[Any], name: str) -> list[Any] | None:
    """The values of a field that all payloads have; None when one lacks it, or may have a mind of its own about it."""
    if set(map(type, payloads)) != {dict}:
        return None
    try:
        return [payload[name] for payload in payloads]
    except KeyError:
        return None
