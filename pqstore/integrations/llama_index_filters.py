"""LlamaIndex's metadata filters as filters of an index."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pqstore.errors import InvalidFilterError
from pqstore.index import Filter

__all__ = ["translated"]

_EVERYTHING: dict[str, Any] = {"$and": [{}]}
_NOTHING: dict[str, Any] = {"$in": []}
_PRESENT: dict[str, Any] = {"$exists": True, "$ne": None}


def translated(filters: Any) -> dict[str, Any]:
    """A `MetadataFilters`, however nested.

    Raises:
        InvalidFilterError: an operator or a condition that there is not.
    """
    parts: list[Filter] = [translated(part) if hasattr(part, "filters") else _one(part) for part in filters.filters]
    condition = _name(filters.condition or "and")
    if not parts:
        return _EVERYTHING
    if condition == "and":
        return {"$and": parts}
    if condition == "or":
        return {"$or": parts}
    if condition == "not":  # none of them
        return {"$not": {"$or": parts}}
    raise InvalidFilterError(f"unknown condition {condition!r}: there are and, or, not")


def _name(word: Any) -> str:
    return str(getattr(word, "value", word))


def _one(condition: Any) -> dict[str, Any]:
    make = _OPERATORS.get(_name(condition.operator))
    if make is None:
        raise InvalidFilterError(
            f"field {condition.key!r}: unknown operator {_name(condition.operator)!r}; known: {', '.join(_OPERATORS)}"
        )
    return make(condition.key, condition.value)


def _comparing(operator: str) -> Callable[[str, Any], dict[str, Any]]:
    return lambda key, value: {key: _NOTHING if value is None else {operator: value}}


def _is_empty(key: str, _: Any) -> dict[str, Any]:
    return {"$or": [{key: {"$empty": True}}, {key: ""}]}


# A value that is missing or null fulfils !=, nin and is_empty alone.
_OPERATORS: dict[str, Callable[[str, Any], dict[str, Any]]] = {
    "==": _comparing("$eq"),
    "!=": lambda key, value: _EVERYTHING if value is None else {key: {"$ne": value}},
    ">": _comparing("$gt"),
    ">=": _comparing("$gte"),
    "<": _comparing("$lt"),
    "<=": _comparing("$lte"),
    "in": _comparing("$in"),
    "nin": lambda key, value: {key: {"$nin": value}},
    "any": _comparing("$any"),
    "all": lambda key, value: {key: {"$all": value} if value else _PRESENT},
    "contains": _comparing("$contains"),
    "text_match": _comparing("$text"),
    "text_match_insensitive": _comparing("$itext"),
    "is_empty": _is_empty,
}
