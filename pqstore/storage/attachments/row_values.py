"""The value of each row of a column, where a row has one that compares: what its groups say, read the other way."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from pqstore.arrays import I64
from pqstore.errors import CorruptIndexError
from pqstore.storage.attachments.column_groups import (
    MEMBER,
    PRESENT,
    FieldKind,
    Group,
    is_of_members,
    kind_of_group,
    values_of_keys,
)
from pqstore.storage.attachments.field_column import FieldColumn, Wanted
from pqstore.storage.attachments.row_sets import mark_positions
from pqstore.storage.format.decoding import decoding

__all__ = ["distinct_values", "positions_of", "values_at"]


def distinct_values(column: FieldColumn) -> int:
    """How many values the rows of a column have; equal numbers of several types count apart."""
    return sum(len(group.values) for _, group in _groups(column))


def values_at(column: FieldColumn, positions: I64) -> list[tuple[FieldKind, Any] | None]:
    """(kind, value) of rows of a column, by their positions in it; None: it is a list, compares with nothing, or there
    is none."""
    if column.number_by_row is None:
        column.number_by_row = _number_by_row(column)
    numbers = column.number_by_row[positions].tolist()
    known: dict[int, tuple[FieldKind, Any] | None] = {0: None}
    for number in numbers:
        if number not in known:
            known[number] = _value_of(column, number)
    return [known[number] for number in numbers]


def positions_of(column: FieldColumn, wanted: Wanted) -> I64:
    """Positions of the rows whose value is one of those wanted, in no order."""
    found = [np.empty(0, dtype=np.int64)]
    for tag, group in _groups(column):
        for start, stop in wanted.places_in(tag, group.values).tolist():
            found.append(group.listed[int(group.starts[start]) : int(group.starts[stop])].astype(np.int64))
            found += [positions for _, positions in _dense(column, group, start, stop)]
    return np.concatenate(found)


def _groups(column: FieldColumn) -> Iterator[tuple[int, Group]]:
    """(tag, group) of the values of rows, those of members of lists left out."""
    return ((tag, group) for tag, group in column.groups.items() if tag % MEMBER != PRESENT and not is_of_members(tag))


def _number_by_row(column: FieldColumn) -> npt.NDArray[np.unsignedinteger[Any]]:
    """For each row 1 + the place of its value, counted on through the groups; 0: it has none. Of the narrowest type."""
    numbers = np.zeros(column.rows, dtype=np.min_scalar_type(distinct_values(column)))
    first = 1
    for _, group in _groups(column):
        count = len(group.values)
        numbers[group.listed] = np.repeat(np.arange(first, first + count), group.starts[1:] - group.starts[:-1])
        for place, positions in _dense(column, group, 0, count):
            numbers[positions] = first + place
        first += count
    return numbers


def _dense(column: FieldColumn, group: Group, start: int, stop: int) -> Iterator[tuple[int, I64]]:
    """(place, positions) of the values within a range of places that many rows have."""
    first, last = np.searchsorted(group.dense[:, 0], (start, stop)).tolist()
    for place, container, begin, end in group.dense[first:last].tolist():
        mask = np.zeros(-(-column.rows // 8), dtype=np.uint8)
        try:
            mark_positions(container, group.blob[begin:end], mask)
        except (ValueError, IndexError) as error:
            raise CorruptIndexError(f"{column.name}: cannot be read ({error})") from error
        yield place, np.flatnonzero(np.unpackbits(mask, count=column.rows, bitorder="little"))


def _value_of(column: FieldColumn, number: int) -> tuple[FieldKind, Any] | None:
    place = number - 1
    for tag, group in _groups(column):
        if place < len(group.values):
            kind = kind_of_group(tag)
            with decoding(column.name):
                value = values_of_keys(tag, group.values, place, place + 1)[0]
            # NaN never gets into a column that was written here; in a damaged one it makes no group.
            return None if kind is None or value != value else (kind, value)  # noqa: PLR0124
        place -= len(group.values)
    raise CorruptIndexError(f"{column.name}: value {number} is missing")
