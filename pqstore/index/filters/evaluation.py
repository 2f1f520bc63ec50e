"""A filter over all rows of a state: indexed fields by their columns, what remains by reading payloads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pqstore.arrays import U8
from pqstore.index.all_rows import all_rows
from pqstore.index.filters.columns import evaluate
from pqstore.index.filters.kinds import SeenKinds
from pqstore.index.filters.payload_scan import scan_payloads
from pqstore.index.filters.plan import plan
from pqstore.index.filters.tree import Condition, fields_of
from pqstore.index.reading import Reading
from pqstore.index.unreadable import UnreadablePayloads
from pqstore.storage import FieldColumn, field_numbers

__all__ = ["FilteredRows", "rows_that_fulfil"]


@dataclass(frozen=True, slots=True)
class FilteredRows:
    """Live rows that fulfil a filter, and what it took to know them."""

    allowed: U8
    """A bitmap as of `AllRows`."""
    indexed: tuple[str, ...]
    """Fields answered by their index."""
    scanned: tuple[str, ...]
    """Fields for which payloads were read."""
    payloads_read: int
    complaints: tuple[str, ...]
    """Comparisons with kinds of values that their fields never have."""
    unknown: tuple[str, ...]
    """Fields that no payload ever had."""
    unreadable: str | None
    """What to say of payloads that could not be read."""


def rows_that_fulfil(reading: Reading, condition: Condition) -> FilteredRows:
    """Evaluate a condition."""
    numbers = field_numbers(reading.snapshot.catalog.fields)
    halves = plan(condition, frozenset(numbers))
    allowed, payloads_read = all_rows(reading).live, 0
    complaints: tuple[str, ...] = ()
    unreadable = UnreadablePayloads(reading.snapshot.ids_of)
    if halves.indexed is not None:
        rows, payloads_read, complaints = _by_columns(reading, halves.indexed, numbers, unreadable)
        allowed = allowed & rows
    if halves.scanned is not None:
        allowed, more_read, more = _by_payloads(reading, halves.scanned, allowed, unreadable)
        complaints += more
        payloads_read += more_read
    return FilteredRows(
        allowed,
        _names(halves.indexed),
        _names(halves.scanned),
        payloads_read,
        complaints,
        _unknown_fields(reading, condition),
        unreadable.complaint(),
    )


def _by_columns(
    reading: Reading, condition: Condition, numbers: Mapping[str, int], unreadable: UnreadablePayloads
) -> tuple[U8, int, tuple[str, ...]]:
    """Rows that fulfil a condition on indexed fields, dead ones too; how many payloads were read; and complaints."""
    rows, payloads_read = all_rows(reading), 0

    def columns_of(name: str) -> Iterator[tuple[FieldColumn, slice]]:
        for unit, place in zip(rows.units, rows.places, strict=True):
            yield reading.snapshot.column(unit, numbers[name]), place

    def look_up(part: Condition, unclear: U8) -> U8:
        nonlocal payloads_read
        fulfil, count, _ = _by_payloads(reading, part, unclear & rows.live, unreadable)
        payloads_read += count
        return fulfil

    seen = SeenKinds(condition)
    for name in tuple(seen.missing):
        seen.look_at_columns(name, (column for column, _ in columns_of(name)))
    return evaluate(condition, columns_of, look_up, len(rows.live)), payloads_read, seen.complaints()


def _by_payloads(
    reading: Reading, condition: Condition, candidates: U8, unreadable: UnreadablePayloads
) -> tuple[U8, int, tuple[str, ...]]:
    """Those of the candidates whose payloads fulfil a condition; how many payloads were read; and complaints."""
    rows, allowed, payloads_read = all_rows(reading), candidates.copy(), 0
    seen = SeenKinds(condition)
    for unit, place in zip(rows.units, rows.places, strict=True):
        if allowed[place].any():
            allowed[place], count = scan_payloads(reading, unit, allowed[place], condition, seen, unreadable)
            payloads_read += count
    return allowed, payloads_read, seen.complaints()


def _names(condition: Condition | None) -> tuple[str, ...]:
    return () if condition is None else tuple(sorted(set(fields_of(condition))))


def _unknown_fields(reading: Reading, condition: Condition) -> tuple[str, ...]:
    """Fields whose first key no payload of this index has ever had."""
    catalog = reading.snapshot.catalog
    if catalog.names_are_full:
        return ()
    known = set(catalog.names)
    return tuple(name for name in _names(condition) if not known.intersection(_first_keys(name)))


def _first_keys(name: str) -> Iterator[str]:
    """The top-level keys that a name may begin with."""
    yield name
    for at, letter in enumerate(name):
        if letter == ".":
            yield name[:at]
