"""What a filter is once it is parsed: a tree of conditions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from typing import Any, TypeAlias

from pqstore.storage import FieldKind, kind_of

__all__ = [
    "All",
    "AnyOf",
    "Between",
    "Comparison",
    "Condition",
    "Contains",
    "Exists",
    "Filled",
    "HasText",
    "Not",
    "OneOf",
    "comparisons_of",
    "fields_of",
]


def _keys_of(values: Iterable[Any]) -> frozenset[tuple[FieldKind | None, Any]]:
    return frozenset((kind_of(value), value) for value in values)


@dataclass(frozen=True, slots=True)
class OneOf:
    """The field is one of these values: $eq, $in."""

    field: str
    values: tuple[Any, ...]
    keys: frozenset[tuple[FieldKind | None, Any]] = dataclass_field(init=False, repr=False, compare=False)
    """The values with their kinds: 1 and 1.0 are one, True is another."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "keys", _keys_of(self.values))


@dataclass(frozen=True, slots=True)
class Contains:
    """The field is a list with one of these members: $contains, $any, $all."""

    field: str
    values: tuple[Any, ...]
    keys: frozenset[tuple[FieldKind | None, Any]] = dataclass_field(init=False, repr=False, compare=False)
    """As of `OneOf`."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "keys", _keys_of(self.values))


@dataclass(frozen=True, slots=True)
class Between:
    """The field compares so with a value: operator one of $gt $gte $lt $lte."""

    field: str
    operator: str
    value: Any


@dataclass(frozen=True, slots=True)
class HasText:
    """The field is a str that contains this one: $text; with `folded`, where case does not count, $itext."""

    field: str
    value: str
    """As it is looked for: with `folded` by Unicode's case folding."""
    folded: bool

    def holds(self, text: str) -> bool:
        """Whether a text contains it."""
        return self.value in (text.casefold() if self.folded else text)


@dataclass(frozen=True, slots=True)
class Exists:
    """The payload has the field, whatever its value: $exists."""

    field: str


@dataclass(frozen=True, slots=True)
class Filled:
    """The payload has the field, with another value than null and the empty list: the opposite of $empty."""

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


Comparison: TypeAlias = OneOf | Contains | Between | HasText
Condition: TypeAlias = OneOf | Contains | Between | HasText | Exists | Filled | Not | All | AnyOf


def fields_of(condition: Condition) -> Iterator[str]:
    """Every field that a condition reads, with repetition."""
    if isinstance(condition, (All, AnyOf)):
        for inner in condition.conditions:
            yield from fields_of(inner)
    elif isinstance(condition, Not):
        yield from fields_of(condition.condition)
    else:
        yield condition.field


def comparisons_of(condition: Condition) -> Iterator[Comparison]:
    """Everything in a condition that compares a field with values."""
    if isinstance(condition, (All, AnyOf)):
        for inner in condition.conditions:
            yield from comparisons_of(inner)
    elif isinstance(condition, Not):
        yield from comparisons_of(condition.condition)
    elif not isinstance(condition, (Exists, Filled)):
        yield condition
