"""Rows as bitmaps, one for each unit that has any, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from pqstore.arrays import I64, U8
from pqstore.storage import RowUnit, count_set

__all__ = ["are_in", "count_rows", "masks_of", "rows_of_masks"]


def masks_of(units: Sequence[RowUnit], rows: I64) -> dict[int, U8]:
    """Bitmaps by place in `units` of ascending rows, which are live."""
    starts = np.fromiter((unit.first_row for unit in units), dtype=np.int64, count=len(units))
    places = np.searchsorted(starts, rows, side="right") - 1
    masks = {}
    bounds = np.concatenate(([0], np.flatnonzero(np.diff(places)) + 1, [len(rows)])) if len(rows) else [0]
    for start, stop in pairwise(bounds):
        unit = units[int(places[start])]
        flags = np.zeros(-(-unit.rows // 8) * 8, dtype=np.bool_)
        flags[rows[start:stop] - unit.first_row] = True
        masks[int(places[start])] = np.packbits(flags, bitorder="little")
    return masks


def rows_of_masks(units: Sequence[RowUnit], masks: Mapping[int, U8]) -> I64:
    """The rows of bitmaps, ascending."""
    parts = [_positions(mask) + units[at].first_row for at, mask in masks.items()]
    return np.concatenate(parts) if parts else np.empty(0, dtype=np.int64)


def _positions(mask: U8) -> I64:
    """Positions of the bits that are set, ascending."""
    places = np.flatnonzero(mask)
    inside, bits = np.nonzero(np.unpackbits(mask[places], bitorder="little").reshape(-1, 8))
    return places[inside] * 8 + bits


def count_rows(masks: Mapping[int, U8]) -> int:
    return sum(map(count_set, masks.values()))


def are_in(units: Sequence[RowUnit], masks: Mapping[int, U8], rows: I64) -> npt.NDArray[np.bool_]:
    """Which of ascending rows have their bit set."""
    inside = np.zeros(len(rows), dtype=np.bool_)
    for at, mask in masks.items():
        unit = units[at]
        start, stop = np.searchsorted(rows, (unit.first_row, unit.first_row + unit.rows)).tolist()
        positions = rows[start:stop] - unit.first_row
        inside[start:stop] = (mask[positions >> 3] >> (positions & 7).astype(np.uint8)) & 1
    return inside
