"""Which rows a search may return: what a filter, ids to allow and ids to deny leave, worked out before the scan."""

from __future__ import annotations

from typing import Any

import numpy as np

from pqstore.arrays import I64
from pqstore.index.all_rows import all_rows
from pqstore.index.arguments.ids import as_id_batch
from pqstore.index.reading import Reading
from pqstore.index.saved_sets import ids_of_set
from pqstore.index.selection.by_filter import select_by_filter
from pqstore.index.selection.id_set import IdSet
from pqstore.index.selection.kept import bytes_of_selection, keep
from pqstore.index.selection.row_masks import are_in, count_rows, masks_of
from pqstore.index.selection.selection import Selection

__all__ = ["count", "select"]


def select(reading: Reading, where: Any = None, allow: Any = None, deny: Any = None) -> Selection | None:
    """The rows that a filter, ids to allow and ids to deny leave; None when nothing was asked. Ids that are not in the
    index are passed over; a str is the name of a saved set.

    Raises:
        InvalidFilterError: as `select_by_filter`.
        InvalidIdError: `allow` or `deny` are no ids of this index.
        UnknownSetError: no set was saved under this name.
    """
    chosen = None if where is None else select_by_filter(reading, where)
    if allow is None and deny is None:
        return chosen
    if not all(isinstance(ids, (IdSet, str, type(None))) for ids in (allow, deny)):
        return _combine(reading, chosen, allow, deny)
    key = ("sets", id(chosen), allow, deny)
    known: Selection | None = reading.kept.get(key)
    # `chosen` may have made room for another since, and its number be given again: what was combined is kept with it.
    if known is None or known.part_of is not chosen:
        known = _combine(reading, chosen, allow, deny)
        known.part_of = chosen
        keep(reading, key, known, bytes_of_selection(reading))
    return known


def count(reading: Reading, where: Any, allow: Any, deny: Any) -> int:
    """How many rows `select` leaves; see `pqstore.Index.count`."""
    selection = select(reading, where, allow, deny)
    return reading.snapshot.live_rows if selection is None else selection.count


def _combine(reading: Reading, chosen: Selection | None, allow: Any, deny: Any) -> Selection:
    """What a filter leaves (None: all), within the ids to allow and without those to deny; one of them is given."""
    rows = all_rows(reading)
    denied = None if deny is None else _rows_of(reading, deny)
    if allow is not None:
        allowed = _rows_of(reading, allow)
        if denied is not None:
            allowed = np.setdiff1d(allowed, denied, assume_unique=True)
        if chosen is not None:
            allowed = allowed[are_in(chosen.units, chosen.masks, allowed)]
        result = Selection(rows.units, len(allowed), _rows=allowed)
    else:
        assert denied is not None
        masks = dict(chosen.masks) if chosen is not None else dict(enumerate(rows.live_by_unit()))
        for at, mask in masks_of(rows.units, denied).items():
            if at in masks:
                masks[at] = masks[at] & ~mask
        masks = {at: mask for at, mask in masks.items() if mask.any()}
        result = Selection(rows.units, count_rows(masks), masks)
    if chosen is not None:
        result.take_story_of(chosen)
    return result


def _rows_of(reading: Reading, ids: Any) -> I64:
    """Live rows of ids, ascending."""
    if not isinstance(ids, (IdSet, str)):
        return _live_rows(reading, as_id_batch(ids, reading.id_type))
    key = ("set", ids)
    known: I64 | None = reading.kept.get(key)
    if known is None:
        batch = ids_of_set(reading, ids) if isinstance(ids, str) else as_id_batch(list(ids), reading.id_type)
        known = _live_rows(reading, batch)
        keep(reading, key, known, known.nbytes)
    return known


def _live_rows(reading: Reading, ids: Any) -> I64:
    rows = reading.snapshot.rows_of(ids)
    return np.unique(rows[rows >= 0])
