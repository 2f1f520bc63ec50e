"""Values of an indexed field, by its columns: no payload is read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from pqstore.arrays import U8
from pqstore.index.facts.values import FieldValue
from pqstore.storage import Bound, ColumnValues, FieldColumn, FieldKind, Wanted, count_set, groups_of, values_of

__all__ = ["InColumns"]

_STEP = 64  # values that are looked at together from the end, for the highest that a wanted row has


class InColumns:
    """The columns of a field, and which of their rows are wanted: a bitmap, or None for all."""

    def __init__(self, columns: Sequence[tuple[FieldColumn, U8 | None]]) -> None:
        self._columns = columns

    def values(self, kind: FieldKind, low: Bound | None, count: int, prefix: str | None = None) -> list[FieldValue]:
        """The first values of a kind from a bound on, at most `count` of them, ascending."""
        found: list[FieldValue] = []
        while len(found) < count:
            tally, complete = _tally(self._columns, kind, low, count, prefix)
            ordered = sorted(tally) if len(tally) > 1 else list(tally)
            found += [
                FieldValue(value, rows)
                for value in ordered
                if (rows := tally[value]) and (complete is None or value <= complete.value)
            ]
            if complete is None:
                break
            low = complete
        return found[:count]

    def highest(self, kind: FieldKind) -> list[Any]:
        """The highest value of a kind; empty: there is none."""
        found = [
            value
            for column, wanted in self._columns
            for values in values_of(column, kind)
            for value in _highest(values, wanted)
        ]
        return [max(found)] if found else []

    def kinds(self) -> set[str]:
        """What values there are: kinds, "list of" the kinds of members, "other" for what is neither."""
        found: set[str] = set()
        for column, wanted in self._columns:
            found.update(kind for kind, values in groups_of(column).items() if any(v.has_any(wanted) for v in values))
            unclear = column.unclear()
            if "other" not in found and (unclear if wanted is None else unclear & wanted[: len(unclear)]).any():
                found.add("other")
        return found


def _highest(values: ColumnValues, wanted: U8 | None) -> list[Any]:
    stop = len(values)
    while stop:
        start = max(0, stop - _STEP)
        there = values.counts(start, stop, wanted).nonzero()[0]
        if len(there):
            place = start + int(there[-1])
            return values.between(place, place + 1)
        stop = start
    return []


def _tally(
    columns: Sequence[tuple[FieldColumn, U8 | None]], kind: FieldKind, low: Bound | None, count: int, prefix: str | None
) -> tuple[dict[Any, int], Bound | None]:
    """Rows by value, of the next values of each column; and up to where none is missing, if any are left."""
    tally: dict[Any, int] = {}
    last: list[Any] = []
    for column, wanted in columns:
        members: set[Any] = set()
        for values in values_of(column, kind):
            start = 0 if low is None else values.place_of(low)
            end = len(values) if prefix is None else values.place_beyond(prefix)
            stop = min(end, start + count)
            if stop <= start:
                continue
            some = values.between(start, stop)
            if stop < end:
                last.append(some[-1])
            _count_in(tally, zip(some, values.counts(start, stop, wanted).tolist(), strict=True))
            if values.are_members and kind == "number":
                _count_once(tally, members, column, wanted, some)
    return tally, Bound(min(last), inclusive=False) if last else None


def _count_in(tally: dict[Any, int], pairs: Iterable[tuple[Any, int]]) -> None:
    for value, rows in pairs:
        tally[value] = tally.get(value, 0) + rows


def _count_once(
    tally: dict[Any, int],
    members: set[Any],
    column: FieldColumn,
    wanted: U8 | None,
    some: list[Any],
) -> None:
    """A list may hold one number as an int and as a float, which are apart in columns: its row counts once."""
    for value in members.intersection(some):
        several = 0
        for place, other in ((v, v.place_of(Bound(value, inclusive=True))) for v in values_of(column, "number")):
            if place.are_members and other < len(place) and place.between(other, other + 1) == [value]:
                several += int(place.counts(other, other + 1, wanted)[0])
        mask = column.equal(Wanted([value]), members=True)
        tally[value] -= several - count_set(mask if wanted is None else mask & wanted[: len(mask)])
    members.update(some)
