"""A filter over columns of indexed fields: bitmaps of rows, combined bit by bit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from pqstore.arrays import U8
from pqstore.index.filters.tree import All, AnyOf, Between, Condition, Contains, Exists, Filled, HasText, Not, OneOf
from pqstore.storage import Bound, FieldColumn, Wanted, kind_of

__all__ = ["ColumnsOf", "LookUp", "evaluate"]


_LOWER = ("$gt", "$gte")

ColumnsOf: TypeAlias = "Callable[[str], Iterable[tuple[FieldColumn, slice]]]"
"""The columns of a field over all rows, and which bytes of a bitmap each stands for."""

LookUp: TypeAlias = "Callable[[Condition, U8], U8]"
"""Those rows of a bitmap whose payloads fulfil a condition, where columns do not say it."""


@dataclass(frozen=True, slots=True)
class _Within:
    """A $gt or $gte and a $lt or $lte of one field: one range of its values."""

    field: str
    low: Bound
    high: Bound


def evaluate(condition: Condition | _Within, columns_of: ColumnsOf, look_up: LookUp, size: int) -> U8:
    """The rows that fulfil a condition: a bitmap of `size` bytes, lowest bit first; bits of no row mean nothing."""
    if isinstance(condition, All):
        result = np.full(size, 255, dtype=np.uint8)
        for inner in _joined_ranges(condition.conditions):
            result &= evaluate(inner, columns_of, look_up, size)
        return result
    result = np.zeros(size, dtype=np.uint8)
    if isinstance(condition, AnyOf):
        for inner in condition.conditions:
            result |= evaluate(inner, columns_of, look_up, size)
    elif isinstance(condition, Not):
        np.invert(evaluate(condition.condition, columns_of, look_up, size), out=result)
    elif isinstance(condition, Filled):
        unclear = np.zeros(size, dtype=np.uint8)
        for column, place in columns_of(condition.field):
            column.filled(result[place])
            column.unclear(unclear[place])
        if unclear.any():
            result |= look_up(condition, unclear)
    else:
        mark = _marker(condition)
        for column, place in columns_of(condition.field):
            mark(column, result[place])
    return result


def _joined_ranges(conditions: tuple[Condition, ...]) -> Iterator[Condition | _Within]:
    """The conditions, two ends of a range as one."""
    lows: dict[str, Between] = {}
    for condition in conditions:
        if not isinstance(condition, Between):
            yield condition
        elif condition.operator in _LOWER:
            if condition.field in lows:
                yield lows[condition.field]
            lows[condition.field] = condition
    for condition in conditions:
        if isinstance(condition, Between) and condition.operator not in _LOWER:
            low = lows.get(condition.field)
            if low is None or kind_of(low.value) != kind_of(condition.value):
                yield condition
            else:
                del lows[condition.field]
                yield _Within(condition.field, _bound(low), _bound(condition))
    yield from lows.values()


def _bound(condition: Between) -> Bound:
    return Bound(condition.value, condition.operator in ("$gte", "$lte"))


def _marker(condition: OneOf | Contains | Exists | HasText | Between | _Within) -> Callable[[FieldColumn, U8], U8]:
    """What sets the bits of the rows of one column that fulfil a condition on its field."""
    if isinstance(condition, Exists):
        return FieldColumn.present
    if isinstance(condition, HasText):
        text = condition
        if not text.folded:
            return lambda column, mask: column.containing(text.value.encode(), mask)
        return lambda column, mask: column.texts(text.holds, mask)
    if isinstance(condition, Between):
        bound = _bound(condition)
        low, high = (bound, None) if condition.operator in _LOWER else (None, bound)
        return lambda column, mask: column.between(low, high, mask)
    if isinstance(condition, _Within):
        within = condition
        return lambda column, mask: column.between(within.low, within.high, mask)
    wanted, members = Wanted(condition.values), isinstance(condition, Contains)
    return lambda column, mask: column.equal(wanted, mask, members=members)
