"""The records that a transaction leaves when it commits."""

from __future__ import annotations

from collections.abc import Iterator

from pqstore.arrays import U8
from pqstore.storage.disk.numbered_state import put_state
from pqstore.storage.format import records
from pqstore.storage.rows.id_columns import IdColumn
from pqstore.storage.transactions.pending import PendingRecords, tombstones

__all__ = ["write_changes"]


def write_changes(pending: PendingRecords) -> None:
    """Write everything that waits in memory, and the state at last."""
    geometry = pending.schema.geometry
    for chunk in pending.left_tail:
        for column in (records.COLUMN_CODES, records.COLUMN_IDS):
            pending.delete("tail", records.key2(column, chunk))
    for chunk, (packed, ids) in pending.tail.items():
        for key, record in _tail_chunk(chunk, packed, ids):
            pending.put("tail", key, record)
    for segment, bitmap in pending.bitmaps.items():
        record = records.pack_record(records.TOMBSTONES, segment, 0, tombstones(pending, segment).dead, [bitmap])
        pending.put("tombstones", records.key1(segment), record)
    for segment, entry in pending.entries.items():
        if entry is None:
            pending.delete("segments", records.key1(segment))
        else:
            value = records.pack_segment(segment, geometry.segment_rows, entry.dead, entry.stamp)
            pending.put("segments", records.key1(segment), value)
    if pending.changed_lists is not None:
        (lists,) = pending.changed_lists
        if lists is None:
            pending.delete("meta", records.LISTS_KEY)
        else:
            pending.put("meta", records.LISTS_KEY, lists.pack())
    for database, key in pending.deletions:
        pending.base.txn.delete(key, db=pending.generation.environment.databases[database])
    table_stamp = pending.commit_number if pending.entries else pending.base.state.table_stamp
    pending.state = pending.state._replace(commit=pending.commit_number, table_stamp=table_stamp)
    pending.state = put_state(pending.base.txn, pending.generation.environment.databases["meta"], pending.state)


def _tail_chunk(chunk: int, packed: U8, ids: IdColumn) -> Iterator[tuple[bytes, bytes]]:
    """(key, record) of a chunk of the tail: its codes, then its ids."""
    encoding, parts = ids.encode(tail=True)
    for column, column_parts, column_encoding in (
        (records.COLUMN_CODES, [packed], 0),
        (records.COLUMN_IDS, parts, encoding),
    ):
        kind = records.tail_kind(column)
        record = records.pack_record(kind, column, chunk, len(ids), column_parts, column_encoding)
        yield records.key2(column, chunk), record
