"""The scan: distances of every live row, the k least of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from pqstore.arrays import F32, I64
from pqstore.kernels.chunk import CodeChunk
from pqstore.kernels.code_layout import CodeLayout
from pqstore.kernels.reference.tables import adist

__all__ = ["least", "scan"]


# Rows unpacked at a time: bounds the memory of a scan whatever the length of a chunk. A multiple of 32.
_BLOCK_ROWS = 65_536


def scan(chunks: Sequence[CodeChunk], layout: CodeLayout, tables: F32, k: int) -> tuple[F32, I64]:
    """The k rows of least distance for each table: distances float32 (n, k) and rows int64 (n, k).

    `tables` float32 (n, M, layout.table_size); a distance is the sum that `adist` defines. Rows are ordered by
    distance, then row number; dead rows are passed over. Where there are fewer than k rows, the rest is
    +infinity and -1.
    """
    best_distances = np.full((len(tables), k), np.inf, dtype=np.float32)
    best_rows = np.full((len(tables), k), -1, dtype=np.int64)
    scanned = 0
    for chunk in chunks:
        for start in range(0, chunk.rows, _BLOCK_ROWS):
            rows = min(_BLOCK_ROWS, chunk.rows - start)
            codes = layout.unpack(chunk.packed[layout.packed_size(start) :], rows)
            positions = np.arange(start, start + rows)
            if chunk.dead is not None:
                alive = (chunk.dead[positions >> 3] >> (positions & 7).astype(np.uint8)) & 1 == 0
                codes, positions = codes[alive], positions[alive]
            kept = min(scanned, k)
            for q, table in enumerate(tables):
                # fmin: a sum that is not a number, from infinities of both signs, counts as infinitely far.
                distances = np.concatenate((best_distances[q, :kept], np.fmin(adist(table, codes), np.float32(np.inf))))
                candidates = np.concatenate((best_rows[q, :kept], chunk.first_row + positions))
                order = least(distances, candidates, k)
                best_distances[q, : len(order)] = distances[order]
                best_rows[q, : len(order)] = candidates[order]
            scanned += len(positions)
    return best_distances, best_rows


def least(distances: F32, rows: I64, k: int) -> npt.NDArray[np.intp]:
    """Indices of the k least by (distance, row), in that order."""
    chosen = np.arange(len(distances))
    if k < len(distances):
        threshold = np.partition(distances, k - 1)[k - 1]
        chosen = np.flatnonzero(distances <= threshold)
    return chosen[np.lexsort((rows[chosen], distances[chosen]))][:k]
