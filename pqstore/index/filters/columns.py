"""A filter over columns of indexed fields: bitmaps of rows, combined bit by bit."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce

import numpy as np
import numpy.typing as npt

from pqstore.index.filters.tree import All, AnyOf, Between, Condition, Contains, Exists, Not, OneOf
from pqstore.storage import Bound, FieldColumn

__all__ = ["evaluate"]

U8 = npt.NDArray[np.uint8]


def evaluate(condition: Condition, column_of: Callable[[str], FieldColumn], rows: int) -> U8:
    """The rows that fulfil a condition, uint8 (ceil(rows / 8),), lowest bit first; bits beyond `rows` mean nothing."""
    size = -(-rows // 8)
    result: U8
    if isinstance(condition, All):
        every = np.full(size, 255, dtype=np.uint8)
        result = reduce(np.bitwise_and, (evaluate(c, column_of, rows) for c in condition.conditions), every)
    elif isinstance(condition, AnyOf):
        none = np.zeros(size, dtype=np.uint8)
        result = reduce(np.bitwise_or, (evaluate(c, column_of, rows) for c in condition.conditions), none)
    elif isinstance(condition, Not):
        result = ~evaluate(condition.condition, column_of, rows)
    elif isinstance(condition, OneOf):
        result = column_of(condition.field).equal(condition.values)
    elif isinstance(condition, Contains):
        result = column_of(condition.field).equal(condition.values, members=True)
    elif isinstance(condition, Exists):
        result = column_of(condition.field).present()
    else:
        result = _between(condition, column_of(condition.field))
    return result


def _between(condition: Between, column: FieldColumn) -> U8:
    bound = Bound(condition.value, condition.operator in ("$gte", "$lte"))
    if condition.operator in ("$gt", "$gte"):
        return column.between(bound, None)
    return column.between(None, bound)
