"""Values of a field without an index: every payload is read, once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from pqstore.index.facts.values import FieldValue, keys_of
from pqstore.storage import ABSENT, Bound, FieldKind, kind_of, value_at

__all__ = ["InPayloads", "kinds_in"]


class InPayloads:
    """What payloads say of a field."""

    def __init__(self, payloads: Iterable[Mapping[str, Any]], field: str) -> None:
        self._rows: Counter[tuple[FieldKind, Any]] = Counter()
        for payload in payloads:
            value = value_at(payload, field)
            if value is not ABSENT:
                self._rows.update(keys_of(value))

    def values(self, kind: FieldKind, low: Bound | None, count: int, prefix: str | None = None) -> list[FieldValue]:
        """The first values of a kind from a bound on, at most `count` of them, ascending."""
        return [
            FieldValue(value, self._rows[kind, value])
            for value in self._all(kind)
            if (low is None or value > low.value or (low.inclusive and value == low.value))
            and (prefix is None or value.startswith(prefix))
        ][:count]

    def highest(self, kind: FieldKind) -> list[Any]:
        """The highest value of a kind; empty: there is none."""
        return self._all(kind)[-1:]

    def _all(self, kind: FieldKind) -> list[Any]:
        found = [value for its_kind, value in self._rows if its_kind == kind]
        return sorted(found) if len(found) > 1 else found


def kinds_in(value: Any) -> set[str]:
    """What a value is: its kind; of a list "list of" the kinds of its members; "other" for what is none of these."""
    if type(value) is list:
        kinds = {f"list of {kind}" for member in value if (kind := kind_of(member)) is not None}
    else:
        kinds = {str(kind)} if (kind := kind_of(value)) is not None else set()
    return kinds or {"other"}
