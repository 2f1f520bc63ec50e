"""Reads of what hangs on rows: originals, payloads, columns of fields, and the sets that are saved beside them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pqstore.arrays import I64, U8
from pqstore.errors import CorruptIndexError
from pqstore.storage.attachments.payload_records import (
    PackedPayloads,
    PayloadRecord,
    Unreadable,
    open_payloads,
    unpack_payload,
)
from pqstore.storage.attachments.saved_sets import read_set
from pqstore.storage.format import records
from pqstore.storage.rows.column_records import RowUnit
from pqstore.storage.transactions.state_records import StateRecords

__all__ = ["AttachmentReads"]

_PAGE = 64  # records of payloads, read at a time


class AttachmentReads:
    """Reads of one state."""

    __slots__ = ("_records", "_schema")

    def __init__(self, records: StateRecords) -> None:
        self._records = records
        self._schema = records.schema

    def originals_of(self, rows: npt.ArrayLike) -> U8:
        """The originals of rows that exist, uint8 (n, row_bytes). Raises `CorruptIndexError` naming a damaged row."""
        self._records.check()
        wanted = np.asarray(rows, dtype=np.int64)
        identity = self._schema.identity
        return self._records.generation.originals.gather(wanted, identity.row_bytes, identity.segment_rows)

    def original_maps(self) -> tuple[dict[int, U8], int]:
        """Files of originals as far as they are mapped, by segment: uint8 (rows, row_bytes + 4), each row followed by
        its checksum; and how many rows a segment has."""
        self._records.check()
        return self._records.generation.originals.maps, self._schema.identity.segment_rows

    def pin_originals(self) -> None:
        """Take hold of all files of originals, so that they can be read after others remove them."""
        row_bytes = self._schema.identity.row_bytes
        if row_bytes:
            stored = self._schema.geometry.stored(self._records.table.entries, self._records.state)
            counts = {segment: rows for segment, rows in stored if rows}
            self._records.generation.originals.pin(counts, row_bytes)

    def payloads_of(self, rows: npt.ArrayLike, unreadable: Unreadable | None = None) -> list[dict[str, Any] | None]:
        """The payloads of rows that exist; None for a row without one.

        Raises:
            CorruptIndexError: one cannot be read; names the row. With `unreadable` that is told instead.
        """
        self._records.check()
        names = self._records.catalog.names
        wanted = np.asarray(rows, dtype=np.int64).tolist()
        found: list[dict[str, Any] | None] = [None] * len(wanted)
        for place, row, content in self._payload_contents(wanted):
            found[place] = _unpacked(content, row, names, unreadable)
        return found

    def packed_payloads_of(self, rows: I64) -> PackedPayloads:
        """The payloads of rows as they are stored."""
        parts: list[bytes | memoryview] = [b""] * len(rows)
        for place, _, content in self._payload_contents(rows.tolist()):
            parts[place] = content
        return PackedPayloads.of(parts)

    def payload_items(
        self, start: int, wanted: npt.NDArray[np.bool_], unreadable: Unreadable | None = None
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        """(row, payload) of those that have one of the rows from `start` on that are wanted; others are not unpacked.

        Raises:
            CorruptIndexError: as `payloads_of`, or a record is missing.
        """
        names, stop = self._records.catalog.names, start + len(wanted)
        first = self._records.catalog.payloads_from
        if first is None:
            return
        expected = max(start, first)
        for first_row, value in self.payload_values(expected, stop):
            record = open_payloads(value, first_row)
            if first_row > expected:
                break
            for row, content in record.contents(start, stop):
                if wanted[row - start]:
                    payload = _unpacked(content, row, names, unreadable)
                    if payload is not None:
                        yield row, payload
            expected = record.stop
        if expected < stop:
            raise CorruptIndexError(f"payloads of row {expected}: the record is missing")

    def payload_values(self, start: int, stop: int) -> Iterator[tuple[int, memoryview]]:
        """(first row, record) of the records that may have payloads of rows from `start` up to `stop`."""
        if start >= stop:
            return
        key, end = records.key1(start), records.key1(stop)
        # The record that the first row lies in may begin before it.
        covering = self._records.covering("payloads", key)
        if covering is not None:
            key = bytes(covering[0])
        while True:
            page = [(int.from_bytes(k, "big"), value) for k, value in self._records.page("payloads", key, end, _PAGE)]
            yield from page
            if len(page) < _PAGE:
                return
            key = records.key1(page[-1][0] + 1)

    def payload_record(self, row: int) -> PayloadRecord:
        """The record that a row lies in, which is not before the first with payloads.

        Raises:
            CorruptIndexError: it is damaged, or there is none.
        """
        entry = self._records.covering("payloads", records.key1(row))
        first_row = row if entry is None else int.from_bytes(entry[0], "big")
        record = open_payloads(entry and entry[1], first_row)
        if row >= record.stop:
            raise CorruptIndexError(f"payloads of row {row}: the record is missing")
        return record

    def _payload_contents(self, rows: list[int]) -> Iterator[tuple[int, int, memoryview]]:
        """(place in `rows`, row, msgpack bytes) of those that have a payload; each record is read once."""
        first = self._records.catalog.payloads_from
        record: PayloadRecord | None = None
        for place in sorted(range(len(rows)), key=rows.__getitem__):
            row = rows[place]
            if first is None or row < first:
                continue
            if record is None or row >= record.stop:
                record = self.payload_record(row)
            content = record.of(row)
            if len(content):
                yield place, row, content

    def saved_set(self, name: str) -> npt.NDArray[Any] | None:
        """The ids of a saved set, ascending; None when there is no set of this name."""
        self._records.check()
        saved = self._records.catalog.sets.get(name)
        if saved is None:
            return None
        chunk_ids = self._records.generation.limits.set_chunk_ids
        return read_set(self._records.get, self._schema.codec, saved, chunk_ids)

    def units(self) -> list[RowUnit]:
        """All rows that are stored, in the pieces that columns cover; one for each of `chunks()`."""
        self._records.check()
        geometry, open_segment = self._schema.geometry, self._records.state.open_segment
        first_open = geometry.first_row(open_segment)
        found = []
        for chunk in self._records.chunks():
            sealed = chunk.first_row < first_open
            place, _ = geometry.locate(chunk.first_row) if sealed else geometry.locate_chunk(chunk.first_row)
            found.append(RowUnit(chunk.first_row, chunk.rows, chunk.dead, (place, sealed)))
        return found


def _unpacked(
    content: memoryview, row: int, names: Sequence[str], unreadable: Unreadable | None
) -> dict[str, Any] | None:
    try:
        return unpack_payload(content, row, names)
    except CorruptIndexError as error:
        if unreadable is None:
            raise
        unreadable(row, error)
        return None
