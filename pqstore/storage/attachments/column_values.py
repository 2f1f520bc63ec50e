"""The values that a column names, in their order, and how many rows have each."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Any

import numpy as np

from pqstore.arrays import I64, U8
from pqstore.errors import CorruptIndexError
from pqstore.storage.attachments.column_groups import (
    FieldKind,
    Group,
    first_place,
    group_key,
    is_of_members,
    kind_of_group,
    values_of_keys,
)
from pqstore.storage.attachments.field_column import Bound, FieldColumn
from pqstore.storage.format.decoding import decoding

__all__ = ["ColumnValues", "groups_of", "values_of"]


class ColumnValues:
    """The distinct values of one type, of rows or of members of their lists. A value is at a place; places ascend."""

    def __init__(self, column: FieldColumn, tag: int, group: Group) -> None:
        self._column = column
        self._tag = tag
        self._group = group
        self.are_members = is_of_members(tag)

    def __len__(self) -> int:
        return len(self._group.values)

    def between(self, start: int, stop: int) -> list[Any]:
        """The values from one place up to another, as payloads have them."""
        with decoding(self._column.name):
            return values_of_keys(self._tag, self._group.values, start, stop)

    def place_of(self, bound: Bound) -> int:
        """The first place of values that are not less than one of their kind; not of it, where it is exclusive."""
        return first_place(self._group.values, group_key(self._tag, bound.value), after=not bound.inclusive)

    def place_beyond(self, prefix: str) -> int:
        """The first place of strings beyond all that begin so."""
        return bisect_left(self._group.values, prefix.encode() + b"\xff")  # which no UTF-8 has

    def counts(self, start: int, stop: int, wanted: U8 | None) -> I64:
        """How many rows have each of the values from one place up to another, of those of a bitmap; None: of all."""
        try:
            return self._group.counts(start, stop, wanted, self._column.rows)
        except (ValueError, IndexError) as error:
            raise CorruptIndexError(f"{self._column.name}: cannot be read ({error})") from error

    def has_any(self, wanted: U8 | None) -> bool:
        """Whether one of the rows of a bitmap has one of the values."""
        return len(self) > 0 and bool(np.any(self.counts(0, len(self), wanted)))


def values_of(column: FieldColumn, kind: FieldKind) -> Sequence[ColumnValues]:
    """All values of a kind. Numbers of several types are apart, and so are members of lists."""
    return [ColumnValues(column, tag, group) for tag, group in column.groups.items() if kind_of_group(tag) == kind]


def groups_of(column: FieldColumn) -> dict[str, list[ColumnValues]]:
    """All values by what they are: a kind, or "list of" the kind of members."""
    found: dict[str, list[ColumnValues]] = {}
    for tag, group in column.groups.items():
        kind = kind_of_group(tag)
        if kind is not None:
            values = ColumnValues(column, tag, group)
            found.setdefault(f"list of {kind}" if values.are_members else kind, []).append(values)
    return found
