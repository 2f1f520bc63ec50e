"""Haystack's filters as filters of an index: exactly where both mean the same, else as what lets pass too much."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from pqstore.errors import InvalidFilterError

__all__ = ["Translated", "translated"]

_FIELDS = ("id", "content", "score", "embedding", "blob", "sparse_embedding")
_ORDERED = {">": "$gt", ">=": "$gte", "<": "$lt", "<=": "$lte"}
_ALL: dict[str, Any] = {"$and": [{"id": {"$exists": True}}]}
_NONE: dict[str, Any] = {"$and": [{"id": {"$exists": False}}]}


class Translated(NamedTuple):
    """A filter of an index."""

    where: dict[str, Any]
    is_exact: bool
    """Whether it finds what Haystack means; otherwise that and more, which Haystack must look through."""


def translated(filters: Any) -> Translated:
    """A filter of Haystack's.

    Raises:
        InvalidFilterError: it lacks a part, or has an operator or a value that there is not.
    """
    if not isinstance(filters, Mapping):
        raise InvalidFilterError(f"a filter is a dict, got {type(filters).__name__}")
    if "field" in filters:
        return _comparison(filters)
    for key in ("operator", "conditions"):
        if key not in filters:
            raise InvalidFilterError(f"the key {key!r} is missing in {filters}")
    parts = [translated(condition) for condition in filters["conditions"]]
    is_exact = all(part.is_exact for part in parts)
    wheres = [part.where for part in parts]
    operator = filters["operator"]
    if operator == "AND":
        return Translated({"$and": wheres} if wheres else _ALL, is_exact)
    if operator == "OR":
        return Translated({"$or": wheres} if wheres else _NONE, is_exact)
    if operator == "NOT":  # of what is too much nothing can be taken away
        return Translated({"$not": {"$and": wheres}} if wheres and is_exact else _ALL, bool(wheres) and is_exact)
    raise InvalidFilterError(f"unknown logical operator {operator!r}: there are AND, OR and NOT")


def _comparison(condition: Mapping[str, Any]) -> Translated:
    for key in ("operator", "value"):
        if key not in condition:
            raise InvalidFilterError(f"the key {key!r} is missing in {dict(condition)}")
    field, operator, value = condition["field"], condition["operator"], condition["value"]
    name = field if field in _FIELDS or field.startswith("meta.") else f"meta.{field}"
    if operator in ("==", "!="):
        found = _equal(name, value)
        return found if operator == "==" else _negated(found)
    if operator in ("in", "not in"):
        if not isinstance(value, list):
            raise InvalidFilterError(f"{operator!r} takes a list, got {type(value).__name__}")
        several = [_equal(name, member) for member in value]
        where = {"$or": [one.where for one in several]} if several else _NONE
        found = Translated(where, all(one.is_exact for one in several))
        return found if operator == "in" else _negated(found)
    if operator in _ORDERED:
        return _ordering(name, operator, value)
    raise InvalidFilterError(f"unknown operator {operator!r}: there are ==, !=, >, >=, <, <=, in and not in")


def _negated(found: Translated) -> Translated:
    return Translated({"$not": found.where}, is_exact=True) if found.is_exact else Translated(_ALL, is_exact=False)


def _equal(name: str, value: Any) -> Translated:
    if value is None:
        return Translated({"$or": [{name: None}, {name: {"$exists": False}}]}, is_exact=True)
    if isinstance(value, (bool, int, float)):
        # For Python True is 1; a date of no time zone may equal none of these.
        also = [value, bool(value)] if value in (0, 1) else [value]
        also += [int(value)] if isinstance(value, bool) else []
        return Translated({name: {"$in": also}}, is_exact=value == value)  # noqa: PLR0124 # NaN
    if isinstance(value, str) and not _may_be_a_date(value):
        return Translated({name: value}, is_exact=True)
    return Translated({name: {"$exists": True}}, is_exact=False)


def _may_be_a_date(text: str) -> bool:
    """Whether another text, or a moment, may be the same date."""
    return len(text) >= 10 and text[:4].isdigit() and text[4] == "-"


def _ordering(name: str, operator: str, value: Any) -> Translated:
    if value is None:
        return Translated(_NONE, is_exact=True)
    if isinstance(value, list):
        raise InvalidFilterError(f"{operator!r} compares numbers and dates, not lists")
    if isinstance(value, (int, float)) and not isinstance(value, bool) and value == value:  # noqa: PLR0124 # NaN
        return Translated({name: {_ORDERED[operator]: value}}, is_exact=True)
    return Translated({"$not": {name: {"$empty": True}}}, is_exact=False)
