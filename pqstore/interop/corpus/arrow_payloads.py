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


def payloads_in(arrow: Any, where: str, batch: Any, columns: Sequence[str]) -> list[dict[str, Any] | None]:
    """The payloads of the rows of a batch, whose columns stand in the order of `columns`.

    Dates become text in ISO 8601; times without a time zone are taken as UTC. A row in which all is null has none.

    Raises:
        CorpusFileError: names the column of a time before the year 1 or after 9999, of an unknown time zone, of a text
            that is no UTF-8.
    """
    values = [_values(arrow, where, name, batch.column(place)) for place, name in enumerate(columns)]
    payloads = []
    for row in zip(*values, strict=True):
        payload = {name: value for name, value in zip(columns, row, strict=True) if value is not None}
        payloads.append(payload or None)
    return payloads


def _values(arrow: Any, where: str, name: str, column: Any) -> list[Any]:
    try:
        return _plain(arrow, column)
    except (arrow.ArrowException, KeyError, OverflowError, ValueError) as error:  # KeyError: of time zones
        message = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CorpusFileError(f"{where}: the column {name!r} holds what no payload can: {message}") from error


def _plain(arrow: Any, column: Any) -> list[Any]:
    if arrow.types.is_timestamp(column.type):
        # Microseconds are what a datetime holds: digits beyond them may go, hours may not.
        is_finer = column.type.unit == "ns"
        column = column.cast(arrow.timestamp("us", column.type.tz or "UTC"), safe=not is_finer)
        return [None if v is None else v.astimezone(datetime.timezone.utc) for v in column.to_pylist()]
    if arrow.types.is_date(column.type):
        return [None if value is None else value.isoformat()[:10] for value in column.to_pylist()]
    return list(column.to_pylist())
