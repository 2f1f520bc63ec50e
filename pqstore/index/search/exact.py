"""Exact search of a reading: every original, no codes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pqstore.arrays import F32, I64, U8
from pqstore.index.all_rows import live_mask
from pqstore.index.reading import Reading
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
    for unit in reading.snapshot.units():
        live = np.flatnonzero(np.unpackbits(live_mask(unit), count=unit.rows, bitorder="little")) + unit.first_row
        for start in range(0, len(live), _BLOCK_ROWS):
            rows = live[start : start + _BLOCK_ROWS]
            yield rows, reading.snapshot.originals_of(rows)
