"""All rows of a state as one bitmap: what selections are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pqstore.arrays import U8
from pqstore.index.reading import Reading
from pqstore.storage import RowUnit

__all__ = ["AllRows", "all_rows", "live_mask"]


@dataclass(frozen=True, slots=True)
class AllRows:
    """How one bitmap covers all rows of a state: each unit begins with a byte of its own."""

    units: Sequence[RowUnit]
    places: Sequence[slice]
    """The bytes of each unit."""
    live: U8
    """Rows that are not dead."""

    def live_by_unit(self) -> list[U8]:
        return [self.live[place] for place in self.places]


def all_rows(reading: Reading) -> AllRows:
    """Those of this state; made once a state."""
    known: AllRows | None = reading.kept.get("all rows")
    if known is None:
        units = reading.snapshot.units()
        ends = np.cumsum([-(-unit.rows // 8) for unit in units], dtype=np.int64).tolist()
        places = [slice(start, end) for start, end in zip([0, *ends], ends, strict=False)]
        live = np.concatenate([np.empty(0, dtype=np.uint8), *(live_mask(unit) for unit in units)])
        live.flags.writeable = False
        known = reading.kept["all rows"] = AllRows(units, places, live)
    return known


def live_mask(unit: RowUnit) -> U8:
    """The rows of a unit that are not dead."""
    size = -(-unit.rows // 8)
    mask = np.full(size, 255, dtype=np.uint8) if unit.dead is None else ~unit.dead[:size]
    if unit.rows % 8:
        mask[-1] &= (1 << unit.rows % 8) - 1
    return mask
