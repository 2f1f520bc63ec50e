"""A condition over payloads, read one by one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from pqstore.arrays import U8
from pqstore.index.filters.compare import matches
from pqstore.index.filters.tree import Condition
from pqstore.index.reading import Reading
from pqstore.storage import RowUnit

__all__ = ["scan_payloads"]


def scan_payloads(
    reading: Reading, unit: RowUnit, mask: U8, condition: Condition, types: Mapping[str, set[type]]
) -> tuple[U8, int]:
    """Those rows of a mask whose payloads fulfil the condition, and how many payloads were read.

    The types of the values of the fields in `types` are added there.
    """
    candidates = np.unpackbits(mask, count=unit.rows, bitorder="little").astype(np.bool_)
    allowed = candidates & matches(condition, None)  # what holds for rows without a payload
    read = 0
    for row, payload in _payloads(reading, unit, candidates):
        read += 1
        allowed[row - unit.first_row] = matches(condition, payload)
        for name, seen in types.items():
            if name in payload:
                seen.add(type(payload[name]))
    return np.packbits(allowed, bitorder="little"), read


def _payloads(
    reading: Reading, unit: RowUnit, candidates: npt.NDArray[np.bool_]
) -> Iterator[tuple[int, dict[str, Any]]]:
    """(row, payload) of candidates that have one: read in a sweep, or one by one where they are few."""
    rows = np.flatnonzero(candidates) + unit.first_row
    if len(rows) < unit.rows // 4:
        payloads = reading.snapshot.payloads_of(rows)
        yield from ((row, payload) for row, payload in zip(rows.tolist(), payloads, strict=True) if payload is not None)
        return
    for row, payload in reading.snapshot.payload_items(unit.first_row, unit.first_row + unit.rows):
        if candidates[row - unit.first_row]:
            yield row, payload
