"""Groups of rows by a field: out of its column where it has an index, else out of payloads."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pqstore.arrays import I64
from pqstore.index.all_rows import all_rows
from pqstore.index.reading import Reading
from pqstore.index.selection.row_masks import are_in
from pqstore.index.selection.select import select
from pqstore.index.selection.selection import Selection
from pqstore.index.unreadable import UnreadablePayloads
from pqstore.storage import (
    ABSENT,
    FieldColumn,
    Wanted,
    distinct_values,
    field_numbers,
    kind_of,
    positions_of,
    value_at,
    values_at,
)

__all__ = ["Groups", "groups_by"]

_SCANNED_PER_READ = 4  # payloads that are read in their order in the time in which one is found among all
# With at most one row of so many in some groups, fetching codes is quicker than scanning; so many bytes at most.
_GATHER_COST = 20
_CODES_BYTES = 8 << 20
_NO_ROWS = np.empty(0, dtype=np.int64)
_KEPT_BYTES = 32 << 20  # of rows of groups, for one state and field


def groups_by(reading: Reading, field: str, selection: Selection | None) -> Groups:
    """Groups by the values of a field, of the rows of a selection; None: of all."""
    number = field_numbers(reading.snapshot.catalog.fields).get(field)
    if number is None:
        return _InPayloads(reading, field, selection)
    return _InColumns(reading, number, selection)


class Members(NamedTuple):
    """The rows of some groups, and what says which of these groups each row is in."""

    selection: Selection
    groups_of: Callable[[I64], list[Any]]
    """Of any rows of the selection; None for row -1."""


class Groups(ABC):
    """Which group each row is in, and which rows are in each: a group is a kind and a value."""

    def __init__(self, reading: Reading, selection: Selection | None) -> None:
        self._reading, self._selection = reading, selection
        self.rows = reading.snapshot.live_rows
        """There are no more."""

    @abstractmethod
    def of(self, rows: I64) -> list[Any]:
        """The group of each row; None of one whose value cannot make a group, and of row -1."""

    @abstractmethod
    def are_sought_apart(self, deeper: int, turn: int) -> bool:
        """Whether all rows of some groups are looked through next, and not the so many nearest rows of all groups,
        which was done so many times already."""

    @abstractmethod
    def members(self, groups: Sequence[Any]) -> Members:
        """The rows of some groups, of those selected."""


class _InPayloads(Groups):
    """Out of payloads, each of which is read once."""

    def __init__(self, reading: Reading, field: str, selection: Selection | None) -> None:
        super().__init__(reading, selection)
        self._field = field
        self._known: dict[int, Any] = {-1: None}

    def of(self, rows: I64) -> list[Any]:
        new = np.array([row for row in rows.tolist() if row not in self._known], dtype=np.int64)
        unreadable = UnreadablePayloads(self._reading.snapshot.ids_of)
        for row, payload in zip(new.tolist(), self._reading.snapshot.payloads_of(new, unreadable), strict=True):
            value = ABSENT if payload is None else value_at(payload, self._field)
            kind = None if value is ABSENT else kind_of(value)
            self._known[row] = None if kind is None else (kind, value)
        unreadable.warn()
        return [self._known[row] for row in rows.tolist()]

    def are_sought_apart(self, deeper: int, turn: int) -> bool:
        """All payloads are read for that."""
        return turn > 0 and deeper * _SCANNED_PER_READ >= self._reading.snapshot.total_rows

    def members(self, groups: Sequence[Any]) -> Members:
        found = select(self._reading, {self._field: {"$in": [value for _, value in groups]}})
        assert found is not None
        rows = found.rows()
        if self._selection is not None:
            rows = rows[are_in(self._selection.units, self._selection.masks, rows)]
        return Members(Selection(found.units, len(rows), _rows=rows), self.of)


class _InColumns(Groups):
    """Out of the columns of the field, over the units of the state. Rows of groups are kept for the next search."""

    def __init__(self, reading: Reading, number: int, selection: Selection | None) -> None:
        super().__init__(reading, selection)
        self._rows = all_rows(reading)
        self._starts = np.fromiter((unit.first_row for unit in self._rows.units), dtype=np.int64)
        self._number = number
        known = reading.kept.get(("groups", number))
        if known is None:  # of two threads that come here at once one keeps what it finds
            known = reading.kept[("groups", number)] = _KeptGroups()
        self._kept: _KeptGroups = known

    def _column(self, at: int) -> FieldColumn:
        return self._reading.snapshot.column(self._rows.units[at], self._number)

    def of(self, rows: I64) -> list[Any]:
        found: list[Any] = [None] * len(rows)
        units = np.searchsorted(self._starts, rows, side="right") - 1
        for at in np.unique(units[rows >= 0]).tolist():
            places = np.flatnonzero(units == at)
            keys = values_at(self._column(at), rows[places] - self._starts[at])
            for place, key in zip(places.tolist(), keys, strict=True):
                found[place] = key
        return found

    def are_sought_apart(self, deeper: int, turn: int) -> bool:
        """Among many values a few more rows would hardly show what is missing."""
        if self._kept.values is None:
            self._kept.values = max((distinct_values(self._column(at)) for at in range(len(self._starts))), default=0)
        return turn > 0 or self._kept.values > deeper

    def members(self, groups: Sequence[Any]) -> Members:
        found = self._kept.get(groups)
        new = [group for group in groups if group not in found]
        if new:
            read = self._read(new)
            self._kept.put(read)
            found.update(read)
        parts = [found[group] for group in groups]
        rows = np.concatenate([part.rows for part in parts])
        order = np.argsort(rows, kind="stable")
        few = len(rows) <= self._most and all(part.codes is not None for part in parts)
        if self._selection is not None:
            order = order[are_in(self._selection.units, self._selection.masks, rows[order])]
        rows = rows[order]
        codes = np.concatenate([part.codes for part in parts if part.codes is not None])[order] if few else None
        numbers = np.repeat(np.arange(len(parts)), [len(part.rows) for part in parts])[order]

        def groups_of(some: I64) -> list[Any]:
            found = numbers.take(np.searchsorted(rows, some), mode="clip").tolist()
            return [None if row < 0 else number for row, number in zip(some.tolist(), found, strict=True)]

        return Members(Selection(self._rows.units, len(rows), _rows=rows, _codes=codes), groups_of)

    @property
    def _most(self) -> int:
        """Of so many rows codes are fetched."""
        snapshot, cost = self._reading.snapshot, self._reading.space.row_cost
        return min(snapshot.total_rows // _GATHER_COST, _CODES_BYTES // cost)

    def _read(self, groups: Sequence[Any]) -> dict[Any, _OneGroup]:
        rows = self._live_rows(groups)
        few = [group for group in groups if len(rows[group]) <= self._most // len(groups)]
        codes = self._reading.snapshot.codes_of(np.concatenate([_NO_ROWS, *(rows[group] for group in few)]))
        ends = np.cumsum([len(rows[group]) for group in few], dtype=np.int64)
        of_few = {
            group: codes[end - len(rows[group]) : end].copy() for group, end in zip(few, ends.tolist(), strict=True)
        }
        return {group: _OneGroup(rows[group], of_few.get(group)) for group in groups}

    def _live_rows(self, groups: Sequence[Any]) -> dict[Any, I64]:
        """Ascending."""
        wanted = {group: Wanted([group[1]]) for group in groups}
        found: dict[Any, list[I64]] = {group: [_NO_ROWS] for group in groups}
        for at, (unit, place) in enumerate(zip(self._rows.units, self._rows.places, strict=True)):
            column, live = self._column(at), self._rows.live[place]
            for group in groups:
                positions = positions_of(column, wanted[group])
                if unit.dead is not None:
                    positions = positions[(live[positions >> 3] >> (positions & 7).astype(np.uint8) & 1).astype(bool)]
                found[group].append(np.sort(positions) + unit.first_row)
        return {group: np.concatenate(parts) for group, parts in found.items()}


class _OneGroup(NamedTuple):
    """The live rows of a group, ascending."""

    rows: I64
    codes: npt.NDArray[Any] | None
    """Their codes, where they are few."""

    @property
    def nbytes(self) -> int:
        return self.rows.nbytes + (0 if self.codes is None else self.codes.nbytes)


class _KeptGroups:
    """Rows of the groups that were asked for last, by all threads that search one state."""

    def __init__(self) -> None:
        self.values: int | None = None
        """How many values one of the columns has at most."""
        self._lock = threading.Lock()
        self._members: dict[Any, _OneGroup] = {}
        self._bytes = 0

    def get(self, groups: Sequence[Any]) -> dict[Any, _OneGroup]:
        """Those of some groups that are kept."""
        with self._lock:
            found = {group: self._members.pop(group) for group in groups if group in self._members}
            self._members.update(found)  # they are the newest now
        return found

    def put(self, members: dict[Any, _OneGroup]) -> None:
        """Keep these, in place of the oldest where there are many."""
        with self._lock:
            for group, its in members.items():
                if group not in self._members:
                    self._members[group] = its
                    self._bytes += its.nbytes
            while self._bytes > _KEPT_BYTES:
                self._bytes -= self._members.pop(next(iter(self._members))).nbytes
