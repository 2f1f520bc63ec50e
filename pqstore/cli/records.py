"""A record of an index as one line of JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pqstore.cli.results import shortest

if TYPE_CHECKING:
    from pqstore import Record

__all__ = ["record_line"]


def record_line(record: Record) -> dict[str, Any]:
    """Id and payload; and, where the vector was asked for, that and whether it is the original."""
    line: dict[str, Any] = {"id": record.id, "payload": record.payload}
    if record.vector is not None:
        line |= {"vector": shortest(record.vector), "original": record.is_original}
    return line
