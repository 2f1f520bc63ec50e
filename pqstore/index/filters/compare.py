"""What a filter means: the evaluator over one payload. Columns of fields must give the same."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

from pqstore.index.filters.tree import All, AnyOf, Between, Condition, Contains, Exists, Filled, HasText, Not, OneOf
from pqstore.storage import ABSENT, kind_of, value_at

__all__ = ["matches"]

_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "$gt": operator.gt,
    "$gte": operator.ge,
    "$lt": operator.lt,
    "$lte": operator.le,
}


def matches(condition: Condition, payload: Mapping[str, Any] | None) -> bool:
    """Whether a payload (None: there is none) fulfils a condition. Values of different kinds are never equal, and
    neither is before the other; ints and floats are one kind, bool is another."""
    if isinstance(condition, All):
        return all(matches(inner, payload) for inner in condition.conditions)
    if isinstance(condition, AnyOf):
        return any(matches(inner, payload) for inner in condition.conditions)
    if isinstance(condition, Not):
        return not matches(condition.condition, payload)
    if payload is None:
        return False
    value = value_at(payload, condition.field)
    return value is not ABSENT and _holds(condition, value)


def _holds(condition: OneOf | Contains | Between | HasText | Exists | Filled, value: Any) -> bool:
    """Whether a value that is there fulfils a condition on its field."""
    if isinstance(condition, OneOf):
        kind = kind_of(value)
        return kind is not None and (kind, value) in condition.keys
    if isinstance(condition, Contains):
        return type(value) is list and any(
            (kind, member) in condition.keys for member in value if (kind := kind_of(member)) is not None
        )
    if isinstance(condition, Between):
        return kind_of(value) == kind_of(condition.value) and _COMPARE[condition.operator](value, condition.value)
    if isinstance(condition, HasText):
        return type(value) is str and condition.holds(value)
    return isinstance(condition, Exists) or not (value is None or value == [])
