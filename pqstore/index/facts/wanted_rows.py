"""The rows that facts are asked of, and what of a field is known of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from pqstore.arrays import U8
from pqstore.index.all_rows import live_mask
from pqstore.index.reading import Reading
from pqstore.index.selection.select import select
from pqstore.index.unreadable import UnreadablePayloads
from pqstore.storage import FieldColumn, RowUnit, field_numbers

__all__ = ["WantedRows", "wanted_rows"]


@dataclass(frozen=True, slots=True)
class WantedRows:
    """Units with a row that is wanted, and which of their rows are."""

    reading: Reading
    units: list[tuple[RowUnit, U8 | None]]
    """Bitmaps, lowest bit first; None: all rows of the unit."""

    def columns(self, field: str) -> list[tuple[FieldColumn, U8 | None]] | None:
        """The column of a field for each unit; None when the field has no index."""
        snapshot = self.reading.snapshot
        number = field_numbers(snapshot.catalog.fields).get(field)
        if number is None:
            return None
        return [(snapshot.column(unit, number), wanted) for unit, wanted in self.units]

    def payloads(self) -> Iterator[dict[str, Any]]:
        """The payloads of those that have one.

        Warns:
            UnreadablePayloadWarning: some could not be read, and count as none.
        """
        from pqstore.index.filters.payload_scan import payloads_of_unit  # noqa: PLC0415 # most programs never ask

        unreadable = UnreadablePayloads(self.reading.snapshot.ids_of)
        for unit, wanted in self.units:
            flags = (
                np.ones(unit.rows, dtype=np.bool_)
                if wanted is None
                else np.unpackbits(wanted, count=unit.rows, bitorder="little").astype(np.bool_)
            )
            for _, payload in payloads_of_unit(self.reading, unit, flags, unreadable):
                yield payload
        unreadable.warn()


def wanted_rows(reading: Reading, where: Any) -> WantedRows:
    """The rows that a filter finds; None: all live ones.

    Raises:
        InvalidFilterError: as `pqstore.Index.search`.
    """
    units = reading.snapshot.units()
    selection = select(reading, where)
    if selection is not None:
        return WantedRows(reading, [(units[at], mask) for at, mask in sorted(selection.masks.items())])
    return WantedRows(reading, [(unit, None if unit.dead is None else live_mask(unit)) for unit in units])
