"""What a filter is once it is parsed: a tree of conditions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

__all__ = ["All", "AnyOf", "Between", "Condition", "Contains", "Exists", "Not", "OneOf", "fields_of"]


@dataclass(frozen=True, slots=True)
class OneOf:
    """The field is one of these values: $eq, $in."""

    field: str
    values: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Contains:
    """The field is a list with one of these members: $contains."""

    field: str
    values: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Between:
    """The field compares so with a value: operator one of $gt $gte $lt $lte."""

    field: str
    operator: str
    value: Any


@dataclass(frozen=True, slots=True)
class Exists:
    """The payload has the field, whatever its value."""

    field: str


@dataclass(frozen=True, slots=True)
class Not:
    """The condition does not hold; rows without the field, and without any payload, are among these."""

    condition: Condition


@dataclass(frozen=True, slots=True)
class All:
    """Every condition holds; without any: always."""

    conditions: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """One of the conditions holds."""

    conditions: tuple[Condition, ...]


Condition: TypeAlias = OneOf | Contains | Between | Exists | Not | All | AnyOf


def fields_of(condition: Condition) -> Iterator[str]:
    """Every field that a condition reads, with repetition."""
    if isinstance(condition, (All, AnyOf)):
        for inner in condition.conditions:
            yield from fields_of(inner)
    elif isinstance(condition, Not):
        yield from fields_of(condition.condition)
    else:
        yield condition.field
