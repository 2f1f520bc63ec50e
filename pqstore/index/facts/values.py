"""A value of a field."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from pqstore.storage import FieldKind, kind_of

__all__ = ["KINDS", "FieldValue", "keys_of"]

KINDS: Final[tuple[FieldKind, ...]] = ("bool", "number", "str", "bytes", "datetime", "null")
"""In the order of their values; null comes last, so that no page goes on after it."""


class FieldValue(NamedTuple):
    """A value of a field."""

    value: Any
    rows: int
    """How many vectors have it."""


def keys_of(value: Any) -> set[tuple[FieldKind, Any]]:
    """(kind, value) of what a value counts for: itself, or its members."""
    members = value if type(value) is list else (value,)
    return {(kind, member) for member in members if (kind := kind_of(member)) is not None}
