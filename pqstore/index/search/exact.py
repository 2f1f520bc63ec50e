"""Exact search: every original, no codes. Slow, and the truth that recall is measured against."""

from __future__ import annotations

import numpy as np

from pqstore.arrays import F32, I64
from pqstore.index.code_space import CodeSpace
from pqstore.index.search.rerank import ExactScorer
from pqstore.index.selection.select import live_mask
from pqstore.storage import Snapshot

__all__ = ["exact_rows"]


_BLOCK_ROWS = 8192
_SPARE = 8  # candidates beyond k that the quick pass keeps, so that its rounding decides nothing


def exact_rows(snapshot: Snapshot, space: CodeSpace, queries: F32, k: int) -> tuple[F32, I64]:
    """The k nearest originals of each query: distances float32 (n, k) and rows int64 (n, k), padded as a search's."""
    assert space.originals is not None
    wide = queries.astype(np.float64)
    kept = k + _SPARE
    best = np.full((len(queries), 0), 0.0)
    best_rows = np.empty((len(queries), 0), dtype=np.int64)
    for unit in snapshot.units():
        live = np.flatnonzero(np.unpackbits(live_mask(unit), count=unit.rows, bitorder="little")) + unit.first_row
        for start in range(0, len(live), _BLOCK_ROWS):
            rows = live[start : start + _BLOCK_ROWS]
            vectors = space.originals.decode(snapshot.originals_of(rows)).astype(np.float64)
            products = wide @ vectors.T
            norms = np.einsum("nd,nd->n", vectors, vectors)
            if space.metric == "l2":
                order_by = norms - 2 * products  # and the norm of the query, the same for all
            elif space.metric == "dot":
                order_by = -products
            else:
                order_by = -products / np.sqrt(np.where(norms > 0, norms, 1))
            best = np.concatenate((best, order_by), axis=1)
            best_rows = np.concatenate((best_rows, np.broadcast_to(rows, (len(queries), len(rows)))), axis=1)
            if best.shape[1] > kept:
                chosen = np.argpartition(best, kept - 1, axis=1)[:, :kept]
                best = np.take_along_axis(best, chosen, axis=1)
                best_rows = np.take_along_axis(best_rows, chosen, axis=1)
    return ExactScorer(snapshot, space.originals, space.metric, queries).best(best_rows, k)
