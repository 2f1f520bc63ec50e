"""Columns of a table as payloads: a dict a row, without the fields that are null."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Any

from pqstore.errors import CorpusFileError

__all__ = ["check_columns", "payloads_in"]


def check_columns(arrow: Any, where: str, schema: Any, columns: Sequence[str]) -> None:
    """Refuse columns that no payload can hold, before anything is read.

    Raises:
        CorpusFileError: names the column and its type.
    """
    types = arrow.types
    for name in columns:
        kind = schema.field(name).type
        if types.is_dictionary(kind):
            kind = kind.value_type
        if types.is_decimal(kind) or types.is_time(kind) or types.is_duration(kind) or types.is_interval(kind):
            raise CorpusFileError(
                f"{where}: the column {name!r} holds {kind}, which no payload can: cast it to a number or to text"
            )


def payloads_in(arrow: Any, batch: Any, columns: Sequence[str]) -> list[dict[str, Any] | None]:
    """The payloads of the rows of a batch, whose columns stand in the order of `columns`.

    Dates become text in ISO 8601; times without a time zone are taken as UTC. A row in which all is null has none.
    """
    values = [_values(arrow, batch.column(place)) for place in range(len(columns))]
    payloads = []
    for row in zip(*values, strict=True):
        payload = {name: value for name, value in zip(columns, row, strict=True) if value is not None}
        payloads.append(payload or None)
    return payloads


def _values(arrow: Any, column: Any) -> list[Any]:
    if arrow.types.is_timestamp(column.type):
        # Microseconds are what a datetime holds.
        column = column.cast(arrow.timestamp("us", column.type.tz or "UTC"), safe=False)
        return [None if v is None else v.astimezone(datetime.timezone.utc) for v in column.to_pylist()]
    if arrow.types.is_date(column.type):
        return [None if value is None else value.isoformat()[:10] for value in column.to_pylist()]
    return list(column.to_pylist())
