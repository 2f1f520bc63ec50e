"""Rows that a search may return: what was selected, but for rows without a vector."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from pqstore.arrays import I64, U8
from pqstore.index.all_rows import all_rows
from pqstore.index.reading import Reading
from pqstore.index.selection.kept import bytes_of_selection, keep
from pqstore.index.selection.row_masks import count_rows
from pqstore.index.selection.select import select
from pqstore.index.selection.selection import Selection
from pqstore.storage import VECTORLESS_KEY, count_set

__all__ = ["count_searchable", "lack_vectors", "rows_without_vector", "select_searchable", "spread_searchable"]


def rows_without_vector(reading: Reading) -> U8 | None:
    """A bitmap as of `AllRows`; None: every row has one. Worked out once a state."""
    kept = reading.kept
    if "without vector" not in kept:
        kept["without vector"] = _found_without_vector(reading)
    known: U8 | None = kept["without vector"]
    return known


def _found_without_vector(reading: Reading) -> U8 | None:
    if VECTORLESS_KEY not in reading.snapshot.catalog.names:
        return None
    from pqstore.index.filters import rows_that_fulfil  # noqa: PLC0415 # most programs never filter
    from pqstore.index.filters.tree import Exists  # noqa: PLC0415

    found = rows_that_fulfil(reading, Exists(VECTORLESS_KEY)).allowed
    return found if found.any() else None


def select_searchable(reading: Reading, where: Any = None, allow: Any = None, deny: Any = None) -> Selection | None:
    """As `select`, without rows that have no vector."""
    chosen = None if where is None and allow is None and deny is None else select(reading, where, allow, deny)
    hidden = rows_without_vector(reading)
    if hidden is None:
        return chosen
    key = ("searchable", id(chosen))
    known: Selection | None = reading.kept.get(key)
    # `chosen` may have made room for another since, and its number be given again: it is kept with what was made of it.
    if known is None or known.part_of is not chosen:
        known = _without(reading, chosen, hidden)
        known.part_of = chosen
        keep(reading, key, known, bytes_of_selection(reading))
    return known


def _without(reading: Reading, chosen: Selection | None, hidden: U8) -> Selection:
    rows = all_rows(reading)
    masks = dict(chosen.masks) if chosen is not None else dict(enumerate(rows.live_by_unit()))
    masks = {at: mask & ~hidden[rows.places[at]] for at, mask in masks.items()}
    masks = {at: mask for at, mask in masks.items() if mask.any()}
    result = Selection(rows.units, count_rows(masks), masks)
    if chosen is not None:
        result.take_story_of(chosen)
    return result


def lack_vectors(reading: Reading, rows: I64) -> npt.NDArray[np.bool_]:
    """Which of some rows have no vector."""
    hidden = rows_without_vector(reading)
    if hidden is None or len(rows) == 0:
        return np.zeros(len(rows), dtype=np.bool_)
    every = all_rows(reading)
    starts = np.fromiter((unit.first_row for unit in every.units), dtype=np.int64, count=len(every.units))
    bytes_before = np.fromiter((place.start for place in every.places), dtype=np.int64, count=len(every.places))
    at = np.searchsorted(starts, rows, side="right") - 1
    inside = rows - starts[at]
    return (hidden[bytes_before[at] + (inside >> 3)] >> (inside & 7).astype(np.uint8) & 1).astype(np.bool_)


def count_searchable(reading: Reading) -> int:
    """How many rows have a vector."""
    hidden = rows_without_vector(reading)
    return reading.snapshot.live_rows - (0 if hidden is None else count_set(hidden))


def spread_searchable(reading: Reading, most: int) -> I64:
    """At most so many of the rows that have a vector, spread evenly over all of them, ascending."""
    selection = select_searchable(reading)
    if selection is None:
        return reading.snapshot.rows.spread(most)
    rows = selection.rows()
    return rows if len(rows) <= most else rows[np.arange(most) * len(rows) // most]
