"""Segments with dead rows written anew: their live rows are appended again, and they go."""

from __future__ import annotations

from collections.abc import Callable

from pqstore.arrays import I64
from pqstore.storage.disk import crash_points
from pqstore.storage.format import records
from pqstore.storage.format.segment_table import SegmentTable
from pqstore.storage.format.state import State
from pqstore.storage.idmap.ranges import trimmed
from pqstore.storage.rows.tombstones import live_positions
from pqstore.storage.transactions.write import WriteTransaction

__all__ = ["rewrite", "rewrite_dead", "rewrite_due"]

_ABOVE = 0.3  # share of dead rows


def rewrite_due(state: State, table: SegmentTable, segment_rows: int) -> list[int]:
    """Segments to rewrite now: the worst, when enough rows have been added and removed for it."""
    allowance = state.rewrite_allowance
    due: list[int] = []
    for dead, segment in table.mostly_dead(int(_ABOVE * segment_rows)):
        if dead < segment_rows and allowance < segment_rows:
            break
        allowance -= segment_rows - dead
        due.append(segment)
    return due[: max(1, len(due) // 8)]


def rewrite(txn: WriteTransaction, segments: list[int]) -> None:
    """Give the space of segments with many dead rows back, for what rows have earned."""
    pending, segment_rows = txn.records, txn.schema.geometry.segment_rows
    allowance = pending.state.rewrite_allowance
    for segment in segments:
        allowance -= segment_rows - pending.table.entries[segment].dead
        _rewrite_segment(txn, segment)
    pending.state = pending.state._replace(rewrite_allowance=max(0, allowance))


def rewrite_dead(txn: WriteTransaction, segments: int) -> bool:
    """Rewrite up to so many segments with dead rows, the tail at last; True when none is left."""
    with_dead = [segment for segment, entry in txn.records.table.entries.items() if entry.dead]
    for segment in with_dead[:segments]:
        _rewrite_segment(txn, segment)
    if len(with_dead) > segments:
        return False
    if txn.records.state.tail_dead:
        _rewrite_tail(txn)
    return True


def _rewrite_segment(txn: WriteTransaction, segment: int) -> None:
    """Append the live rows of a sealed segment again, and drop it."""
    pending, geometry = txn.records, txn.schema.geometry
    live = live_positions(pending.bitmap(segment), geometry.segment_rows)
    if len(live):
        moved = _moving(txn, segment, live)
        first_row = geometry.next_row(pending.state)
        codes = txn.schema.packing.gather(pending.codes(segment), live)
        txn.store(codes, pending.ids(segment).take(live))
        moved(first_row)
    for database in ("codes", "rowids", "tombstones"):
        pending.delete(database, records.key1(segment))
    _drop_attachments(txn, segment)
    pending.bitmaps.pop(segment, None)
    pending.change_segment(segment, None)
    there = sorted({*pending.table.entries, pending.state.open_segment})
    pending.state = pending.state._replace(ranges=trimmed(pending.state.ranges, geometry, there))
    crash_points.reach("segment rewritten")


def _rewrite_tail(txn: WriteTransaction) -> None:
    """Begin the open segment again under the next number, with the live rows only."""
    pending, geometry = txn.records, txn.schema.geometry
    segment = pending.state.open_segment
    live = live_positions(pending.bitmap(segment), pending.state.tail_rows)
    rows = live + geometry.first_row(segment)
    codes, ids = txn.rows.codes_of(rows), txn.schema.codec.column(txn.rows.ids_of(rows))
    moved = _moving(txn, segment, live)
    _drop_attachments(txn, segment)
    pending.delete("tombstones", records.key1(segment))
    pending.bitmaps.pop(segment, None)
    txn.row_writes.begin_tail()
    txn.store(codes, ids)
    moved(geometry.first_row(segment + 1))


def _has_attachments(txn: WriteTransaction) -> bool:
    return bool(txn.schema.identity.row_bytes) or txn.records.catalog.knows_payloads


def _moving(txn: WriteTransaction, segment: int, live: I64) -> Callable[[int], None]:
    """See `AttachmentWrites.moving`."""
    return txn.attachment_writes.moving(segment, live) if _has_attachments(txn) else lambda _: None


def _drop_attachments(txn: WriteTransaction, segment: int) -> None:
    if _has_attachments(txn):
        txn.attachment_writes.drop(segment)
