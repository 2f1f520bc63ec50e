"""The rows that a filter leaves, kept for the next search with the same filter."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pqstore.errors import FilterKindWarning, UnreadablePayloadWarning
from pqstore.index.all_rows import all_rows
from pqstore.index.reading import Reading
from pqstore.index.selection.kept import bytes_of_selection, keep
from pqstore.index.selection.selection import Selection
from pqstore.storage import count_set
from pqstore.warning import warn_caller

__all__ = ["select_by_filter"]


def select_by_filter(reading: Reading, where: Any) -> Selection:
    """The live rows whose payloads fulfil a filter.

    Raises:
        InvalidFilterError: see `pqstore.index.filters.parse`.

    Warns:
        FilterKindWarning: a comparison finds nothing, since its field never has values of such a kind.
        UnreadablePayloadWarning: a payload could not be read, and counts as none.
    """
    try:
        key = ("where", _frozen(where))
        known: Selection | None = reading.kept.get(key)
    except TypeError:
        key, known = None, None
    if known is None:
        known = _evaluated(reading, where)
        if key is not None:
            keep(reading, key, known, bytes_of_selection(reading))
    for complaint in known.complaints:
        warn_caller(complaint, FilterKindWarning)
    if known.unreadable is not None:
        warn_caller(known.unreadable, UnreadablePayloadWarning)
    return known


def _evaluated(reading: Reading, where: Any) -> Selection:
    from pqstore.index.filters import parse, rows_that_fulfil  # noqa: PLC0415 # most programs never filter

    filtered = rows_that_fulfil(reading, parse(where))
    rows, allowed = all_rows(reading), filtered.allowed
    return Selection(
        rows.units,
        count_set(allowed),
        {at: allowed[place] for at, place in enumerate(rows.places) if allowed[place].any()},
        None,
        filtered.indexed,
        filtered.scanned,
        filtered.payloads_read,
        filtered.complaints,
        filtered.unknown,
        filtered.unreadable,
    )


_PLAIN = (str, int, float, bool, bytes, datetime, type(None))


def _frozen(where: Any) -> Any:
    """A filter as something to look up, with the types of its values: 1, 1.0 and True are three values.

    Raises:
        TypeError: it has values of types that may be equal without meaning the same.
    """
    kind = type(where)
    if kind is dict:
        return tuple((_frozen(key), _frozen(value)) for key, value in where.items())
    if kind is list or kind is tuple:
        return kind, tuple(map(_frozen, where))
    if kind not in _PLAIN:
        raise TypeError(f"{kind.__name__} cannot be looked up")
    return kind, where
