"""Where facts of a field come from: its columns, or where it has no index all payloads."""

from __future__ import annotations

from typing import Any

from pqstore.index.facts.in_columns import InColumns
from pqstore.index.facts.in_payloads import InPayloads
from pqstore.index.facts.wanted_rows import wanted_rows
from pqstore.index.reading import Reading

__all__ = ["source_of"]


def source_of(reading: Reading, field: str, where: Any) -> InColumns | InPayloads:
    """That of a field, for the rows that a filter finds."""
    rows = wanted_rows(reading, where)
    columns = rows.columns(field)
    return InPayloads(rows.payloads(), field) if columns is None else InColumns(columns)
