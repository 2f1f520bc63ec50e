"""Exact distances of candidates, by their originals; the k best of them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pqstore.index.originals import OriginalSpace
from pqstore.kernels import nearest_originals, unit_length
from pqstore.storage import Snapshot

__all__ = ["ExactScorer"]

F32 = npt.NDArray[np.float32]
I64 = npt.NDArray[np.int64]

# Originals of a batch that are held at a time
_BATCH_BYTES = 64 << 20


class ExactScorer:
    """Distances of queries to originals, by the index's metric: squared for l2, inner products for dot and cosine.

    Sums are float64, rounded to float32 once. A distance does not depend on what else is scored with it.
    """

    def __init__(self, snapshot: Snapshot, space: OriginalSpace, metric: str, queries: F32) -> None:
        """`queries` float32 (n, D), as the caller gave them."""
        self._snapshot = snapshot
        self._space = space
        self._metric = metric
        wide = np.ascontiguousarray(queries, dtype=np.float64)
        self._queries = unit_length(wide) if metric == "cosine" else wide

    @property
    def larger_is_nearer(self) -> bool:
        return self._metric != "l2"

    def best(self, rows: I64, k: int) -> tuple[F32, I64]:
        """The k nearest of each query's candidates `rows` (n, R), -1 where there are fewer.

        Distances float32 (n, k) and rows int64 (n, k), nearest first, equal ones by row; padded with infinity and -1.
        """
        if len(rows) == 1:  # the candidates of one query are distinct
            mine = _present(np.sort(rows[0]))
            distances, found = self._nearest(0, self._snapshot.originals_of(mine), np.arange(len(mine)), mine, k)
            if len(found) == k:
                return distances[None], found[None]
        all_distances = np.full((len(rows), k), -np.inf if self.larger_is_nearer else np.inf, dtype=np.float32)
        all_found = np.full((len(rows), k), -1, dtype=np.int64)
        step = max(1, _BATCH_BYTES // (self._space.row_bytes * max(1, rows.shape[1])))
        for start in range(0, len(rows), step):
            part = rows[start : start + step]
            # Reads in the order of the disk, each row once, whoever asked for it.
            wanted = _present(np.unique(part))
            stored = self._snapshot.originals_of(wanted)
            for q, candidates in enumerate(part, start):
                mine = candidates[candidates >= 0]
                distances, found = self._nearest(q, stored, np.searchsorted(wanted, mine), mine, k)
                all_distances[q, : len(found)], all_found[q, : len(found)] = distances, found
        return all_distances, all_found

    def _nearest(self, q: int, stored: npt.NDArray[np.uint8], places: I64, rows: I64, k: int) -> tuple[F32, I64]:
        """The k nearest to a query, or all where there are fewer, of originals at `places` of `stored`."""
        some = min(k, len(rows))
        return nearest_originals(self._space.kind, self._metric, stored, places, rows, self._queries[q], some)


def _present(ascending: I64) -> I64:
    """Without the -1 that stand for no row."""
    return ascending[np.searchsorted(ascending, 0) :] if len(ascending) and ascending[0] < 0 else ascending
