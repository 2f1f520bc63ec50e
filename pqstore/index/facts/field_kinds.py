"""Of what kinds the values of each field are."""

from __future__ import annotations

from typing import Any

from pqstore.index.facts.in_columns import InColumns
from pqstore.index.facts.in_payloads import kinds_in
from pqstore.index.facts.wanted_rows import wanted_rows
from pqstore.index.reading import Reading
from pqstore.index.settings import fields_of
from pqstore.storage import VECTORLESS_KEY, field_numbers

__all__ = ["field_kinds"]


def field_kinds(reading: Reading, where: Any) -> dict[str, tuple[str, ...]]:
    """See `pqstore.Index.field_kinds`."""
    rows, catalog = wanted_rows(reading, where), reading.snapshot.catalog
    indexed = field_numbers(catalog.fields)
    found: dict[str, set[str]] = {}
    for name in fields_of(reading.snapshot):
        columns = rows.columns(name) if name in indexed else None
        if columns is not None:
            found[name] = InColumns(columns).kinds()
    if catalog.names_are_full or not {*catalog.names, *indexed} - {VECTORLESS_KEY} <= set(found):
        for payload in rows.payloads():
            for name, value in payload.items():
                if name not in indexed:
                    found.setdefault(name, set()).update(kinds_in(value))
    return {name: tuple(sorted(kinds)) for name, kinds in sorted(found.items()) if kinds}
