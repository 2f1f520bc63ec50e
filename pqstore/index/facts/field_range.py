"""How far the values of a field reach."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from pqstore.index.facts.source import source_of
from pqstore.index.reading import Reading
from pqstore.index.settings import as_field
from pqstore.storage import FieldKind

__all__ = ["FieldRange", "field_range"]

_ORDERED: Final[tuple[FieldKind, ...]] = ("number", "str", "bytes", "datetime")


class FieldRange(NamedTuple):
    """How far the values of a field reach; unpacks as ``low, high = index.field_range(...)``. None, None: no vector
    has a value that compares."""

    low: Any
    high: Any


def field_range(reading: Reading, field: Any, where: Any, kind: Any) -> FieldRange:
    """See `pqstore.Index.field_range`."""
    name = as_field(field)
    if kind is not None and kind not in _ORDERED:
        raise ValueError(f"kind must be None or one of {', '.join(_ORDERED)}, got {kind!r}")
    source = source_of(reading, name, where)
    found = {}
    for asked in _ORDERED if kind is None else (kind,):
        lowest = source.values(asked, None, 1)
        if lowest:
            found[asked] = FieldRange(lowest[0].value, source.highest(asked)[0])
    if len(found) > 1:
        raise ValueError(
            f"field {name!r} has values of the kinds {', '.join(found)}, which do not compare: say of which, with kind="
        )
    return next(iter(found.values()), FieldRange(None, None))
