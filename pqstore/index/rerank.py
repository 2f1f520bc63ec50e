"""Exact distances of candidates, by their originals; the k best of them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pqstore.index.originals import OriginalSpace
from pqstore.storage import Snapshot

__all__ = ["ExactScorer"]

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

# Candidates of a batch whose originals are held at a time, in float32 values: 64 MiB.
_BATCH_VALUES = 1 << 24


class ExactScorer:
    """Distances of queries to originals, by the index's metric: squared for l2, inner products for dot and cosine.

    Sums are float64, rounded to float32 once. A distance does not depend on what else is scored with it.
    """

    def __init__(self, snapshot: Snapshot, space: OriginalSpace, metric: str, queries: F32) -> None:
        """`queries` float32 (n, D), as the caller gave them."""
        self._snapshot = snapshot
        self._space = space
        self._metric = metric
        self._queries = _unit(queries.astype(np.float64)) if metric == "cosine" else queries.astype(np.float64)

    @property
    def larger_is_nearer(self) -> bool:
        return self._metric != "l2"

    def best(self, rows: I64, k: int) -> tuple[F32, I64]:
        """The k nearest of each query's candidates `rows` (n, R), -1 where there are fewer.

        Distances float32 (n, k) and rows int64 (n, k), nearest first, equal ones by row; padded with infinity and -1.
        """
        worst = np.float32(-np.inf if self.larger_is_nearer else np.inf)
        distances = np.full((len(rows), k), worst, dtype=np.float32)
        found = np.full((len(rows), k), -1, dtype=np.int64)
        step = max(1, _BATCH_VALUES // (self._space.D * max(1, rows.shape[1])))
        for start in range(0, len(rows), step):
            part = rows[start : start + step]
            # Reads in the order of the disk, each row once, whoever asked for it.
            alone = len(part) == 1  # the candidates of one query are distinct
            wanted = np.sort(part[0]) if alone else np.unique(part)
            wanted = wanted[np.searchsorted(wanted, 0) :]
            vectors = self._originals(wanted)
            for q, candidates in enumerate(part, start):
                mine = wanted if alone else candidates[candidates >= 0]
                exact = self._distances(q, vectors if alone else vectors[np.searchsorted(wanted, mine)])
                order = np.lexsort((mine, -exact if self.larger_is_nearer else exact))[:k]
                distances[q, : len(order)] = exact[order]
                found[q, : len(order)] = mine[order]
        return distances, found

    def distances(self, query: int, rows: I64) -> F32:
        """Distances of one query to rows, float32 (n,)."""
        return self._distances(query, self._originals(rows))

    def _originals(self, rows: I64) -> F64:
        vectors = self._space.decode(self._snapshot.originals_of(rows)).astype(np.float64)
        return _unit(vectors) if self._metric == "cosine" else vectors

    def _distances(self, query: int, vectors: F64) -> F32:
        if self._metric == "l2":
            difference = vectors - self._queries[query]
            exact = np.einsum("nd,nd->n", difference, difference)
        else:
            exact = np.einsum("nd,d->n", vectors, self._queries[query])
        with np.errstate(over="ignore"):
            return exact.astype(np.float32)


def _unit(vectors: F64) -> F64:
    """Each row by its length; a row that float16 or int8 rounded to zero stays zero."""
    lengths = np.sqrt(np.einsum("nd,nd->n", vectors, vectors))
    unit: F64 = vectors / np.where(lengths > 0, lengths, 1)[:, None]
    return unit
