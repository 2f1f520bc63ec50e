"""A filter over all rows of a state: indexed fields by their columns, what remains by reading payloads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pqstore.arrays import U8
from pqstore.errors import InvalidFilterError
from pqstore.index.all_rows import all_rows
from pqstore.index.filters.columns import evaluate
from pqstore.index.filters.incomparable import comparisons_of, refuse_incomparable_columns, refuse_incomparable_types
from pqstore.index.filters.payload_scan import scan_payloads
from pqstore.index.filters.plan import plan
from pqstore.index.filters.tree import Condition, fields_of
from pqstore.index.reading import Reading
from pqstore.storage import FieldColumn

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


def rows_that_fulfil(reading: Reading, condition: Condition) -> FilteredRows:
    """Evaluate a condition.

    Raises:
        InvalidFilterError: a field that no payload has, or a comparison with a kind of value that the field never has.
    """
    _refuse_unknown_fields(reading, condition)
    numbers = {name: number for number, name in enumerate(reading.snapshot.catalog.fields)}
    halves = plan(condition, frozenset(numbers))
    rows = all_rows(reading)
    allowed, payloads_read = rows.live, 0
    if halves.indexed is not None:
        refuse_incomparable_columns(reading, rows.units, halves.indexed, numbers)
        allowed = allowed & _by_columns(reading, halves.indexed, numbers)
    if halves.scanned is not None:
        allowed, payloads_read = _by_payloads(reading, halves.scanned, allowed)
    return FilteredRows(allowed, _names(halves.indexed), _names(halves.scanned), payloads_read)


def _by_columns(reading: Reading, condition: Condition, numbers: Mapping[str, int]) -> U8:
    """Rows that fulfil a condition on indexed fields; dead ones too."""
    rows = all_rows(reading)

    def columns_of(name: str) -> Iterator[tuple[FieldColumn, slice]]:
        for unit, place in zip(rows.units, rows.places, strict=True):
            yield reading.snapshot.column(unit, numbers[name]), place

    return evaluate(condition, columns_of, len(rows.live))


def _by_payloads(reading: Reading, condition: Condition, candidates: U8) -> tuple[U8, int]:
    """Those of the candidates whose payloads fulfil a condition, and how many payloads were read."""
    rows, allowed, payloads_read = all_rows(reading), candidates.copy(), 0
    types: dict[str, set[type]] = {comparison.field: set() for comparison in comparisons_of(condition)}
    for unit, place in zip(rows.units, rows.places, strict=True):
        if allowed[place].any():
            allowed[place], count = scan_payloads(reading, unit, allowed[place], condition, types)
            payloads_read += count
    refuse_incomparable_types(condition, types)
    return allowed, payloads_read


def _names(condition: Condition | None) -> tuple[str, ...]:
    return () if condition is None else tuple(sorted(set(fields_of(condition))))


def _refuse_unknown_fields(reading: Reading, condition: Condition) -> None:
    catalog = reading.snapshot.catalog
    unknown: Sequence[str] = sorted(set(fields_of(condition)) - set(catalog.names) - set(catalog.fields))
    if unknown and not catalog.names_are_full:
        known = ", ".join(repr(name) for name in sorted({*catalog.names, *catalog.fields})[:20]) or "none"
        raise InvalidFilterError(
            f"no payload of this index has ever had the field {unknown[0]!r} (fields: {known}); declare one that is "
            "still to come with create_field_index()"
        )
