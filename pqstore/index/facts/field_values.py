"""The distinct values of a field and how many rows have each.

A row counts once for its value or, where that is a list, for each member that it has.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from pqstore.index.arguments.counts import as_count
from pqstore.index.facts.source import source_of
from pqstore.index.facts.values import KINDS, FieldValue
from pqstore.index.reading import Reading
from pqstore.index.settings import as_field
from pqstore.storage import Bound, FieldKind, UnfitValueError, kind_of, plain_value

__all__ = ["FieldValues", "field_values"]


class FieldValues(NamedTuple):
    """Some values of a field, in their order, and where to go on."""

    values: list[FieldValue]
    after: Any
    """For the next call of `Index.field_values`: the last value of this page. None: there are no more."""


def field_values(reading: Reading, field: Any, where: Any, prefix: Any, limit: Any, after: Any) -> FieldValues:
    """See `pqstore.Index.field_values`."""
    name = as_field(field)
    count = as_count(limit, "limit")
    if prefix is not None and not isinstance(prefix, str):
        raise TypeError(f"prefix is what texts begin with (str), got {type(prefix).__name__}")
    start = None if after is None else _as_cursor(after)
    source = source_of(reading, name, where)
    found: list[FieldValue] = []
    for kind, low in _kinds_from(start, prefix):
        found += source.values(kind, low, count + 1 - len(found), prefix)
        if len(found) > count:
            return FieldValues(found[:count], found[count - 1].value)
    return FieldValues(found, None)


def _as_cursor(after: Any) -> Any:
    try:
        value = plain_value(after)
    except UnfitValueError as error:
        raise ValueError(f"after must be None or the `after` of an earlier page: {after!r} {error}") from error
    if kind_of(value) is None:
        raise ValueError(f"after must be None or the `after` of an earlier page, got {after!r}")
    return value


def _kinds_from(after: Any, prefix: str | None) -> Iterator[tuple[FieldKind, Bound | None]]:
    """The kinds whose values come after one, each with the bound that they begin from."""
    kinds = KINDS if prefix is None else ("str",)
    reached = None if after is None else KINDS.index(kind_of(after) or "null")
    for kind in kinds:
        low = None if prefix is None else Bound(prefix, inclusive=True)
        place = KINDS.index(kind)
        if reached is not None and place < reached:
            continue
        if reached == place and (prefix is None or after >= prefix):
            low = Bound(after, inclusive=False)
        yield kind, low
