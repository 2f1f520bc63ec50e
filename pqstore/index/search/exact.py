"""Exact search of a reading: every original, no codes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pqstore.arrays import F32, I64
from pqstore.index.all_rows import live_mask
from pqstore.index.reading import Reading
from pqstore.index.search.rerank import Reranker
from pqstore.kernels import nearest_vectors

__all__ = ["exact_rows"]


_BLOCK_ROWS = 8192
_SPARE = 8  # candidates beyond k that the quick pass keeps, so that its rounding decides nothing


def exact_rows(reading: Reading, queries: F32, k: int) -> tuple[F32, I64]:
    """The k nearest originals of each query: distances float32 (n, k) and rows int64 (n, k), padded as a search's."""
    candidates = nearest_vectors(queries, _originals(reading), k + _SPARE, reading.space.metric)
    return Reranker(reading, queries).best(candidates, k)


def _originals(reading: Reading) -> Iterator[tuple[I64, F32]]:
    """(rows, their originals) of all live rows, in blocks."""
    for unit in reading.snapshot.units():
        live = np.flatnonzero(np.unpackbits(live_mask(unit), count=unit.rows, bitorder="little")) + unit.first_row
        for start in range(0, len(live), _BLOCK_ROWS):
            rows = live[start : start + _BLOCK_ROWS]
            yield rows, reading.vectors_of(rows)
