"""The lists of a state, ready to be searched: made once a state, or once a selection of its rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import numpy as np

from pqstore.arrays import I64, U8
from pqstore.index.lists.assigning import table_of
from pqstore.index.reading import Reading
from pqstore.index.selection.selection import Selection
from pqstore.kernels import CodeChunk, ListGrid, Lists
from pqstore.storage import ListReads, SnapshotLists

__all__ = ["PreparedLists", "prepared_lists"]


class PreparedLists(NamedTuple):
    """What searches of lists need."""

    reads: ListReads
    prepared: Any
    """As `Searcher.prepare_lists` gave it."""
    flat_rows: int
    """Rows that are in no list: each search reads them all."""


def prepared_lists(reading: Reading, selection: Selection | None = None) -> PreparedLists | None:
    """The lists of a state; None where it has none."""
    kept: dict[Any, Any] = reading.kept if selection is None else selection.kept
    known: tuple[PreparedLists | None] | None = kept.get("lists")
    if known is None:
        known = kept["lists"] = (_prepared(reading, selection),)
    return known[0]


def _prepared(reading: Reading, selection: Selection | None) -> PreparedLists | None:
    state = SnapshotLists(reading.snapshot)
    reads = state.read()
    if reads is None:
        return None
    segments, dead, rows = state.living()
    if selection is None:
        flat = cast(Sequence[CodeChunk], state.flat_chunks(reads.pending))
    else:
        segments, dead, flat = _selected(selection, state.flat_chunks(reads.pending))
    lists = Lists(_grid(reading, reads), reads.runs, flat, segments, dead, rows, selection is not None)
    return PreparedLists(reads, reading.coded.searcher.prepare_lists(lists), sum(chunk.rows for chunk in flat))


def _selected(selection: Selection, flat: Any) -> tuple[I64, list[U8 | None], list[CodeChunk]]:
    """(segments, what is dead in each, chunks in no list): all rows that are not selected count as dead."""
    masks = {selection.units[at].first_row: (selection.units[at], mask) for at, mask in selection.masks.items()}
    sealed: dict[int, U8 | None] = {unit.place[0]: ~mask for unit, mask in masks.values() if unit.place[1]}
    chunks = [
        CodeChunk(chunk.packed, chunk.rows, chunk.first_row, ~masks[chunk.first_row][1])
        for chunk in flat
        if chunk.first_row in masks
    ]
    numbers = np.array(sorted(sealed), dtype=np.int64)
    return numbers, [sealed[number] for number in numbers.tolist()], chunks


def _grid(reading: Reading, reads: ListReads) -> ListGrid:
    """The grid of the table, which outlives states."""
    space = reading.coded
    if space.list_grid is None or space.list_grid[0] != reads.lists.table:
        space.list_grid = reads.lists.table, table_of(reads.table).grid(dot=space.metric == "dot")
    return space.list_grid[1]
