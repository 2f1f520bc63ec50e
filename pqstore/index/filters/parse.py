"""A filter as callers write it -> a tree: every mistake is found here and named."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from pqstore.errors import InvalidFilterError
from pqstore.index.filters.tree import All, AnyOf, Between, Condition, Contains, Exists, Filled, HasText, Not, OneOf
from pqstore.storage import UnfitValueError, kind_of, plain_value

__all__ = ["parse"]

_DEPTH = 64
_ORDERED = ("number", "str", "bytes", "datetime")


def parse(where: Any) -> Condition:
    """The tree of a filter: ``{"lang": "de", "year": {"$gte": 2020}, "$or": [{...}, {...}]}``.

    Raises:
        InvalidFilterError: an unknown operator, an operand that the operator cannot take, or no map at all.
    """
    return _parse_map(where, 0)


def _parse_map(where: Any, depth: int) -> Condition:
    if not isinstance(where, Mapping):
        raise InvalidFilterError(
            f"a filter is a dict such as {{'lang': 'de'}}, got {type(where).__name__}; ids have calls and arguments of "
            "their own: remove(ids), ids=, allow=, deny="
        )
    if depth > _DEPTH:
        raise InvalidFilterError(f"the filter is nested deeper than {_DEPTH} levels")
    conditions: list[Condition] = []
    for key, value in where.items():
        if not isinstance(key, str):
            raise InvalidFilterError(f"the filter has the key {key!r} ({type(key).__name__}): fields are str")
        if key in ("$and", "$or"):
            conditions.append(_parse_list(key, value, depth))
        elif key == "$not":
            conditions.append(Not(_parse_map(value, depth + 1)))
        elif key.startswith("$"):
            raise InvalidFilterError(
                f"unknown operator {key!r}: where a field is expected there may be $and, $or, $not"
            )
        else:
            conditions.append(_parse_field(key, value, depth))
    return conditions[0] if len(conditions) == 1 else All(tuple(conditions))


def _parse_list(operator: str, value: Any, depth: int) -> Condition:
    if not isinstance(value, (list, tuple)) or not value:
        raise InvalidFilterError(f"{operator} takes a list of at least one filter, got {value!r}")
    inner = tuple(_parse_map(entry, depth + 1) for entry in value)
    return All(inner) if operator == "$and" else AnyOf(inner)


def _parse_field(field: str, value: Any, depth: int) -> Condition:
    if not isinstance(value, Mapping):
        return OneOf(field, (_scalar(field, "$eq", value),))
    if not value:
        raise InvalidFilterError(f"field {field!r} has no operator: {{}} says nothing")
    conditions = tuple(_parse_operator(field, operator, operand, depth) for operator, operand in value.items())
    return conditions[0] if len(conditions) == 1 else All(conditions)


def _parse_operator(field: str, operator: Any, operand: Any, depth: int) -> Condition:
    if operator == "$not":
        if not isinstance(operand, Mapping):
            raise InvalidFilterError(f"field {field!r}: $not takes operators, as in {{'$not': {{'$eq': 1}}}}")
        return Not(_parse_field(field, operand, depth + 1))
    make = _OPERATORS.get(operator)
    if make is None:
        known = ", ".join([*_OPERATORS, "$not"])
        raise InvalidFilterError(f"field {field!r}: unknown operator {operator!r}; there are {known}")
    return make(field, operator, operand)


def _eq(field: str, operator: str, operand: Any) -> Condition:
    return OneOf(field, (_scalar(field, operator, operand),))


def _in(field: str, operator: str, operand: Any) -> Condition:
    return OneOf(field, _scalars(field, operator, operand))


def _between(field: str, operator: str, operand: Any) -> Condition:
    value = _scalar(field, operator, operand)
    if kind_of(value) not in _ORDERED:
        raise InvalidFilterError(
            f"field {field!r}: {operator} compares numbers, str, bytes or datetimes, not {type(value).__name__}"
        )
    return Between(field, operator, value)


def _exists(field: str, operator: str, operand: Any) -> Condition:
    if not isinstance(operand, bool):
        raise InvalidFilterError(f"field {field!r}: {operator} takes True or False, got {operand!r}")
    return Exists(field) if operand else Not(Exists(field))


def _contains(field: str, operator: str, operand: Any) -> Condition:
    if isinstance(operand, (str, bytes, bytearray, memoryview)) or not isinstance(operand, Iterable):
        return Contains(field, (_scalar(field, operator, operand),))
    return _all_members(field, operator, operand)


def _all_members(field: str, operator: str, operand: Any) -> Condition:
    values = _scalars(field, operator, operand)
    # All of no members: as with $in, nothing that was named finds nothing.
    return All(tuple(Contains(field, (value,)) for value in values)) if values else Contains(field, ())


def _has_text(field: str, operator: str, operand: Any) -> Condition:
    value = _scalar(field, operator, operand)
    if type(value) is not str:
        raise InvalidFilterError(f"field {field!r}: {operator} looks for a str in texts, got {type(value).__name__}")
    folded = operator == "$itext"
    return HasText(field, value.casefold() if folded else value, folded)


def _empty(field: str, operator: str, operand: Any) -> Condition:
    if not isinstance(operand, bool):
        raise InvalidFilterError(f"field {field!r}: {operator} takes True or False, got {operand!r}")
    return Not(Filled(field)) if operand else Filled(field)


_OPERATORS: dict[str, Callable[[str, str, Any], Condition]] = {
    "$eq": _eq,
    "$ne": lambda field, operator, operand: Not(_eq(field, operator, operand)),
    "$in": _in,
    "$nin": lambda field, operator, operand: Not(_in(field, operator, operand)),
    "$gt": _between,
    "$gte": _between,
    "$lt": _between,
    "$lte": _between,
    "$exists": _exists,
    "$contains": _contains,
    "$any": lambda field, operator, operand: Contains(field, _scalars(field, operator, operand)),
    "$all": _all_members,
    "$text": _has_text,
    "$itext": _has_text,
    "$empty": _empty,
}


def _scalars(field: str, operator: str, operand: Any) -> tuple[Any, ...]:
    """The values of any iterable, which is gone through once."""
    if isinstance(operand, (str, bytes, bytearray, memoryview, Mapping)) or not isinstance(operand, Iterable):
        raise InvalidFilterError(f"field {field!r}: {operator} takes a list, got {type(operand).__name__}")
    if isinstance(operand, np.ndarray) and operand.ndim == 0:
        raise InvalidFilterError(f"field {field!r}: {operator} takes a list, got an array without an axis")
    return tuple(_scalar(field, operator, value) for value in operand)


def _scalar(field: str, operator: str, value: Any) -> Any:
    """A plain value that can be compared, as `pqstore.storage.plain_value` gives it; whole numbers of any size."""
    if type(value) is int:
        return value
    try:
        plain = plain_value(value)
    except UnfitValueError as error:
        raise InvalidFilterError(
            f"field {field!r}: {operator} cannot compare with {_show(value)}: it {error}"
        ) from error
    if kind_of(plain) is None:
        raise InvalidFilterError(
            f"field {field!r}: {operator} compares with str, numbers, bool, None, bytes or datetimes, got "
            f"{_show(value)} ({type(value).__name__}); for members of a list there is $contains"
        )
    return plain


def _show(value: object, length: int = 60) -> str:
    text = repr(value)
    return text if len(text) <= length else text[: length - 3] + "..."
