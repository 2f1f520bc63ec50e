"""Columns of fields out of their records, checked."""

from __future__ import annotations

from pqstore.errors import CorruptIndexError
from pqstore.storage.attachments.field_column import FieldColumn
from pqstore.storage.format import records
from pqstore.storage.format.records import Get

__all__ = ["read_field", "read_tail_field"]


def read_field(get: Get, segment: int, number: int, rows: int) -> FieldColumn:
    """The column of a sealed segment, as a view where it has pages of its own."""
    value = get("fields", records.key2(segment, number))
    record = records.open_record(value, records.FIELD, segment, number)
    name = records.record_name(records.FIELD, segment, number)
    if record.entries != rows:
        raise CorruptIndexError(f"{name}: of {record.entries} rows, not {rows}")
    # Small values share pages with others and may be moved by a commit; large ones stay where they are.
    content = record.payload if len(record.payload) >= records.OWN_PAGES else memoryview(bytes(record.payload))
    return FieldColumn(content, record.entries, name)


def read_tail_field(get: Get, chunk: int, number: int, chunk_rows: int) -> FieldColumn | None:
    """The column of a tail chunk, copied; None when there is none."""
    value = get("tailfields", records.key2(chunk, number))
    if value is None:
        return None
    record = records.open_record(value, records.FIELD_TAIL, chunk, number)
    name = records.record_name(records.FIELD_TAIL, chunk, number)
    if record.entries > chunk_rows:
        raise CorruptIndexError(f"{name}: of {record.entries} rows, {chunk_rows} at most")
    return FieldColumn(memoryview(bytes(record.payload)), record.entries, name)
