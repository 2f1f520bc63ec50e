"""Comparisons that cannot be meant: with a kind of value that the field never has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from pqstore.errors import InvalidFilterError
from pqstore.index.filters.tree import All, AnyOf, Between, Condition, Not
from pqstore.index.reading import Reading
from pqstore.storage import RowUnit, kind_of

__all__ = ["comparisons_of", "refuse_incomparable_columns", "refuse_incomparable_types"]


def comparisons_of(condition: Condition) -> Iterator[Between]:
    """Every $gt, $gte, $lt, $lte of a filter."""
    if isinstance(condition, (All, AnyOf)):
        for inner in condition.conditions:
            yield from comparisons_of(inner)
    elif isinstance(condition, Not):
        yield from comparisons_of(condition.condition)
    elif isinstance(condition, Between):
        yield condition


def refuse_incomparable_columns(
    reading: Reading, units: Sequence[RowUnit], condition: Condition, numbers: Mapping[str, int]
) -> None:
    """Refuse comparisons that no value in the columns of their fields could hold for."""
    for comparison in comparisons_of(condition):
        kinds: set[str] = set()
        for unit in units:
            kinds |= reading.snapshot.column(unit, numbers[comparison.field]).kinds()
            if kind_of(comparison.value) in kinds:
                break
        _refuse_kinds(comparison, kinds)


def refuse_incomparable_types(condition: Condition, types: Mapping[str, set[type]]) -> None:
    """Refuse comparisons that no value of the types seen could hold for."""
    for comparison in comparisons_of(condition):
        _refuse_kinds(comparison, {_KINDS_OF_TYPES[t] for t in types[comparison.field]})


_KINDS_OF_TYPES: dict[type, str] = {
    bool: "bool",
    int: "number",
    float: "number",
    str: "str",
    bytes: "bytes",
    datetime: "datetime",
    type(None): "null",
    list: "list",
    dict: "map",
}


def _refuse_kinds(comparison: Between, kinds: set[str]) -> None:
    """Raise when a field has values, and none that the comparison could ever hold for."""
    kind = kind_of(comparison.value)
    others = kinds - {"null"}
    if others and kind not in others:
        raise InvalidFilterError(
            f"field {comparison.field!r} has values of kind {', '.join(sorted(others))}: {comparison.operator} "
            f"{comparison.value!r} ({kind}) compares with none of them"
        )
