"""A committed state at a moment: rows past the end of their life are dead to whoever reads it.

This is the one place where rows end. What reads a state asks it which rows are dead, by bitmaps and counts, and knows
nothing of ends; what writes to it kills, before all else, the rows that have ended.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import NamedTuple, TypeAlias

import numpy as np

from pqstore.arrays import I64, U8
from pqstore.errors import CorruptIndexError
from pqstore.storage.attachments.ends import FAR_FUTURE, FAR_PAST, Ended, ended_at
from pqstore.storage.format.segment_table import SegmentEntry
from pqstore.storage.rows.column_records import RowUnit
from pqstore.storage.rows.tombstones import count_set
from pqstore.storage.transactions.cache import Life
from pqstore.storage.transactions.committed import CommittedRecords

__all__ = ["LivingRecords", "Moment", "ended_rows", "living", "microseconds_now"]

Moment: TypeAlias = Callable[[], int]
"""What time it is: microseconds since 1970."""


def microseconds_now() -> int:
    """By the clock of the machine."""
    return time.time_ns() // 1000


class LivingRecords(CommittedRecords):
    """The records of a state with rows that have ended. It ends the transaction of those that it was made of."""

    __slots__ = ("_dead", "_of")

    def __init__(self, of: CommittedRecords, life: Life) -> None:
        # Nothing is read: all is shared but what is dead.
        self.schema, self.generation, self.txn, self.closed, self._lock = (
            of.schema,
            of.generation,
            of.txn,
            of.closed,
            of._lock,
        )
        self.cached = life.committed
        self.state, self.table = life.committed.state, life.committed.table
        self._dead = life.dead
        self._of = of

    def check(self) -> None:
        """As of those that it was made of, which a transaction may have ended."""
        super().check()
        self._of.check()

    def bitmap(self, segment: int) -> U8 | None:
        dead = self._dead.get(segment)
        return super().bitmap(segment) if dead is None else dead

    def is_as_stored(self, segment: int) -> bool:
        return segment not in self._dead


def living(records: CommittedRecords, moment: int) -> CommittedRecords:
    """The records of a committed state as they are at a moment, in microseconds since 1970.

    Worked out once from one end of life to the next. Raises `CorruptIndexError` where ends cannot be read.
    """
    life = _life(records, moment)
    return LivingRecords(records, life) if life.dead else records


def ended_rows(records: CommittedRecords, moment: int) -> I64:
    """The rows that have ended at a moment and have no tombstone, int64, ascending."""
    found = [np.empty(0, dtype=np.int64)]
    for segment, dead in sorted(_life(records, moment).dead.items()):
        tombstones = records.bitmap(segment)
        new = dead if tombstones is None else dead & ~tombstones
        positions = np.flatnonzero(np.unpackbits(new, bitorder="little"))
        found.append(positions + records.schema.geometry.first_row(segment))
    return np.concatenate(found)


def _life(records: CommittedRecords, moment: int) -> Life:
    known = records.cached.life
    if known is None or not known.since <= moment < known.until:
        known = records.cached.life = _life_at(records, moment)
    return known


class _EndedRows(NamedTuple):
    """Those of one segment, sealed or open."""

    segment: int
    since: int
    until: int
    mask: U8


def _life_at(records: CommittedRecords, moment: int) -> Life:
    state, table, since, until = records.state, records.table, FAR_PAST, FAR_FUTURE
    dead: dict[int, U8] = {}
    entries: dict[int, SegmentEntry | None] = {}
    tail_dead, total = state.tail_dead, 0
    for segment, its_since, its_until, mask in _ended_by_segment(records, moment):
        since, until = max(since, its_since), min(until, its_until)
        tombstones = records.bitmap(segment)
        all_dead = mask if tombstones is None else mask | tombstones
        count = count_set(all_dead)
        before = state.tail_dead if segment == state.open_segment else table.entries[segment].dead
        if count == before:
            continue
        dead[segment] = all_dead
        total += count - before
        if segment == state.open_segment:
            tail_dead = count
        else:
            entries[segment] = table.entries[segment]._replace(dead=count)
    changed = replace(
        records.cached,
        state=state._replace(live_rows=state.live_rows - total, tail_dead=tail_dead),
        table=table.with_changes(entries, table.stamp) if entries else table,
        chunks=None,
        last_chunk_keys=None,
        derived={},
        life=None,
        ended_rows=total,
    )
    return Life(since, until, dead, changed)


def _ended_by_segment(records: CommittedRecords, moment: int) -> Iterator[_EndedRows]:
    """Of all segments, the open one at last; a mask has a bit for each row that a segment can have."""
    number, geometry, fields = records.state.expiry, records.schema.geometry, len(records.catalog.fields)
    assert number is not None, "asked of states whose rows end"
    if number >= fields:
        raise CorruptIndexError(f"state: rows end by field {number}, but there are {fields} fields")
    nobody = np.zeros(geometry.bitmap_bytes, dtype=np.uint8)
    known = records.generation.cache.ended
    for segment in records.table.entries:
        ended = known.get((segment, number))
        if ended is None or not ended.since <= moment < ended.until:
            unit = RowUnit(geometry.first_row(segment), geometry.segment_rows, None, (segment, True))
            ended = known[segment, number] = ended_at(records.column(unit, number), moment)
        yield _EndedRows(segment, ended.since, ended.until, nobody if ended.mask is None else ended.mask)
    yield _ended_in_tail(records, moment, nobody.copy())


def _ended_in_tail(records: CommittedRecords, moment: int, mask: U8) -> _EndedRows:
    geometry, state, number = records.schema.geometry, records.state, records.state.expiry
    assert number is not None
    parts: list[Ended] = []
    for chunk in geometry.tail_chunks(state):
        rows, (_, position) = geometry.rows_in_chunk(chunk, state), geometry.place_of_chunk(chunk)
        unit = RowUnit(geometry.first_row_of_chunk(chunk), rows, None, (chunk, False))
        ended = ended_at(records.column(unit, number), moment)
        parts.append(ended)
        if ended.mask is not None:
            mask[position // 8 : position // 8 + len(ended.mask)] = ended.mask
    since = max((part.since for part in parts), default=FAR_PAST)
    return _EndedRows(state.open_segment, since, min((part.until for part in parts), default=FAR_FUTURE), mask)
