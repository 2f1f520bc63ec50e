"""Comparisons of a field with values of a kind that it never has: they find nothing, and that is said."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pqstore.index.filters.tree import Comparison, Condition, Contains, HasText, OneOf, comparisons_of
from pqstore.storage import ABSENT, FieldColumn, kind_of, value_at

__all__ = ["SeenKinds"]

# Beside the kinds of values, and those of members of lists ("list of str").
_OTHER = "map, empty list or NaN"


class SeenKinds:
    """What kinds of values the fields of a condition have: looked at until all that it compares with were seen."""

    def __init__(self, condition: Condition) -> None:
        self._comparisons = tuple(comparisons_of(condition))
        self._seen: dict[str, set[str]] = {comparison.field: set() for comparison in self._comparisons}
        self.missing: dict[str, set[str]] = {}
        """By field, the kinds that were not seen yet. Fields without any are left out."""
        for comparison in self._comparisons:
            kinds = {kind for kind, _ in _sought(comparison)}
            if kinds:
                self.missing.setdefault(comparison.field, set()).update(kinds)

    def look_at_payload(self, payload: Mapping[str, Any]) -> None:
        """Take note of the values in a payload."""
        for field in tuple(self.missing):
            value = value_at(payload, field)
            if value is not ABSENT:
                self._see(field, _kinds_in(value))

    def look_at_columns(self, field: str, columns: Iterable[FieldColumn]) -> None:
        """Take note of the values in the columns of a field."""
        looked_at = []
        for column in columns:
            if field not in self.missing:
                return
            looked_at.append(column)
            self._see(field, column.kinds())
        if self._seen[field] <= {"null"} and any(column.has_others() for column in looked_at):
            self._see(field, {_OTHER})

    def _see(self, field: str, kinds: set[str]) -> None:
        self._seen[field] |= kinds
        self.missing[field] -= kinds
        if not self.missing[field]:
            del self.missing[field]

    def complaints(self) -> tuple[str, ...]:
        """A sentence for each comparison with a kind that its field, which has values other than null, was not seen to
        have."""
        found = []
        for comparison in self._comparisons:
            there = self._seen[comparison.field] - {"null"}
            there = there - {_OTHER} or there
            missing = self.missing.get(comparison.field, set())
            example = next((value for kind, value in _sought(comparison) if kind in missing), None)
            if there and example is not None:
                found.append(_complaint(comparison, there, example))
        return tuple(dict.fromkeys(found))


def _sought(comparison: Comparison) -> list[tuple[str, Any]]:
    """(kind, value) of what a comparison looks for; null is looked for in any field."""
    prefix = "list of " if isinstance(comparison, Contains) else ""
    values = comparison.values if isinstance(comparison, (OneOf, Contains)) else (comparison.value,)
    return [(f"{prefix}{kind_of(value)}", value) for value in values if value is not None]


def _kinds_in(value: Any) -> set[str]:
    if type(value) is list:
        kinds = {f"list of {kind_of(member)}" for member in value if kind_of(member) is not None}
    else:
        kinds = {str(kind_of(value))} if kind_of(value) is not None else set()
    return kinds or {_OTHER}


def _complaint(comparison: Comparison, there: set[str], value: Any) -> str:
    advice = ""
    if isinstance(comparison, Contains):
        if not any(kind.startswith("list of ") for kind in there):
            advice = "; $contains looks for members of lists, not for parts of texts: that is $text"
    elif isinstance(comparison, HasText):
        advice = "; $text and $itext look into texts, not into lists" if "list of str" in there else ""
    elif f"list of {kind_of(value)}" in there:
        advice = "; for members of lists there is $contains"
    kinds = ", ".join(sorted(there))
    shown = repr(value) if len(repr(value)) <= 60 else repr(value)[:57] + "..."
    return (
        f"field {comparison.field!r} has values of kind {kinds}: comparing it with {shown} ({kind_of(value)}) finds "
        f"nothing{advice}"
    )
