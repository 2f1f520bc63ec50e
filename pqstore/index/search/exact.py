"""Exact search of a reading: every original, no codes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pqstore.arrays import F32, I64, U8
from pqstore.index.all_rows import all_rows
from pqstore.index.reading import Reading
from pqstore.index.selection.searchable import rows_without_vector
from pqstore.kernels import nearest_in_blocks

__all__ = ["exact_rows"]


_BLOCK_ROWS = 8192


def exact_rows(reading: Reading, queries: F32, k: int, threads: int) -> tuple[F32, I64]:
    """The k nearest originals of each query: distances float32 (n, k) and rows int64 (n, k), padded as a search's."""
    space = reading.space
    assert space.originals is not None
    return nearest_in_blocks(space.originals.kind, space.metric, _originals(reading), queries, k, threads)


def _originals(reading: Reading) -> Iterator[tuple[I64, U8]]:
    """(rows, their originals) of all live rows, in blocks."""
    rows, hidden = all_rows(reading), rows_without_vector(reading)
    searched = rows.live if hidden is None else rows.live & ~hidden
    for unit, place in zip(rows.units, rows.places, strict=True):
        live = np.flatnonzero(np.unpackbits(searched[place], count=unit.rows, bitorder="little")) + unit.first_row
        for start in range(0, len(live), _BLOCK_ROWS):
            some = live[start : start + _BLOCK_ROWS]
            yield some, reading.snapshot.originals_of(some)
