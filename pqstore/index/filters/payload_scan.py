"""A condition over payloads, read one by one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from pqstore.arrays import U8
from pqstore.index.filters.compare import matches
from pqstore.index.filters.kinds import SeenKinds
from pqstore.index.filters.tree import Condition
from pqstore.index.reading import Reading
from pqstore.index.unreadable import UnreadablePayloads
from pqstore.storage import RowUnit

__all__ = ["payloads_of_unit", "scan_payloads"]


def scan_payloads(
    reading: Reading, unit: RowUnit, mask: U8, condition: Condition, seen: SeenKinds, unreadable: UnreadablePayloads
) -> tuple[U8, int]:
    """Those rows of a mask whose payloads fulfil the condition, and how many payloads were read.

    What is read is shown to `seen` too. What cannot be read counts as no payload.
    """
    candidates = np.unpackbits(mask, count=unit.rows, bitorder="little").astype(np.bool_)
    allowed = candidates & matches(condition, None)  # what holds for rows without a payload
    read = 0
    for row, payload in payloads_of_unit(reading, unit, candidates, unreadable):
        read += 1
        allowed[row - unit.first_row] = matches(condition, payload)
        if seen.missing:
            seen.look_at_payload(payload)
    return np.packbits(allowed, bitorder="little"), read


def payloads_of_unit(
    reading: Reading, unit: RowUnit, candidates: npt.NDArray[np.bool_], unreadable: UnreadablePayloads
) -> Iterator[tuple[int, dict[str, Any]]]:
    """(row, payload) of candidates that have one: read in a sweep, or one by one where they are few."""
    rows = np.flatnonzero(candidates) + unit.first_row
    if len(rows) < unit.rows // 4:
        payloads = reading.snapshot.payloads_of(rows, unreadable)
        yield from ((row, payload) for row, payload in zip(rows.tolist(), payloads, strict=True) if payload is not None)
        return
    yield from reading.snapshot.payload_items(unit.first_row, candidates, unreadable)
