"""Exact distances of candidates, by their originals; the k best of them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from pqstore.arrays import F32, I64
from pqstore.index.reading import Reading
from pqstore.index.search.order import by_id, has_ties, reaches_beyond
from pqstore.kernels import unit_length

__all__ = ["Reranker"]


# Originals of a batch that are held at a time
_BATCH_BYTES = 64 << 20


class Reranker:
    """Distances of queries to originals, by the index's metric: squared for l2, inner products for dot and cosine.

    Sums are float64, rounded to float32 once. A distance does not depend on what else is scored with it.
    """

    def __init__(self, reading: Reading, queries: F32, threads: int = 1) -> None:
        """`queries` float32 (n, D), as the caller gave them; `reading` of an index that stores originals."""
        assert reading.space.originals is not None
        self._reading = reading
        self._originals = reading.space.originals
        self._threads = threads
        wide = np.ascontiguousarray(queries, dtype=np.float64)
        self._queries = unit_length(wide) if reading.space.metric == "cosine" else wide

    def best(self, rows: I64, k: int) -> tuple[F32, I64]:
        """The k nearest of each query's candidates `rows` (n, R), -1 where there are fewer.

        Distances float32 (n, k) and rows int64 (n, k), nearest first, equal ones by id; padded with infinity and -1.
        """
        found = self._where_they_lie(rows, k)
        if found is not None:
            return found
        missing = -np.inf if self._reading.space.larger_is_nearer else np.inf
        distances, best = np.empty((len(rows), k), dtype=np.float32), np.empty((len(rows), k), dtype=np.int64)
        for q, (nearest, their_rows) in enumerate(self._nearest_of_each(rows, k)):
            some = len(their_rows)
            distances[q, :some], best[q, :some] = nearest, their_rows
            distances[q, some:], best[q, some:] = missing, -1
        return distances, best

    def _where_they_lie(self, rows: I64, k: int) -> tuple[F32, I64] | None:
        """What `best` finds, without a copy of the candidates; None: some must be read in another way, or equal
        distances put in the order of ids."""
        follow = self._reading.rows_follow_ids
        depth = k if follow else min(k + 1, rows.shape[1])
        files, segment_rows = self._reading.snapshot.attachments.original_maps()
        metric = self._reading.space.metric
        rows = np.ascontiguousarray(rows)
        found = self._originals.nearest_stored(metric, files, segment_rows, rows, self._queries, depth, self._threads)
        if found is None or follow:
            return found
        distances, best = found
        if has_ties(distances, best).any():
            return None
        return np.ascontiguousarray(distances[:, :k]), np.ascontiguousarray(best[:, :k])

    def _nearest_of_each(self, rows: I64, k: int) -> Iterator[tuple[F32, I64]]:
        """What `best` finds for one query after another, not padded."""
        if len(rows) == 1:  # the candidates of one query are distinct
            mine = _present(np.sort(rows[0]))
            yield self._nearest(0, self._reading.snapshot.originals_of(mine), np.arange(len(mine)), mine, k)
            return
        step = max(1, _BATCH_BYTES // (self._originals.row_bytes * max(1, rows.shape[1])))
        for start in range(0, len(rows), step):
            part = rows[start : start + step]
            # Reads in the order of the disk, each row once, whoever asked for it.
            wanted = _present(np.unique(part))
            stored = self._reading.snapshot.originals_of(wanted)
            for q, candidates in enumerate(part, start):
                mine = candidates[candidates >= 0]
                yield self._nearest(q, stored, np.searchsorted(wanted, mine), mine, k)

    def _nearest(self, q: int, stored: npt.NDArray[np.uint8], places: I64, rows: I64, k: int) -> tuple[F32, I64]:
        """The k nearest to a query, or all where there are fewer, of originals at `places` of `stored`."""

        def first(count: int) -> tuple[F32, I64]:
            some = min(count, len(rows))
            return self._originals.nearest(self._reading.space.metric, stored, places, rows, self._queries[q], some)

        if self._reading.rows_follow_ids:
            return first(k)
        distances, nearest = first(k + 1)
        if not has_ties(distances, nearest).any():
            return distances[:k], nearest[:k]
        if reaches_beyond(distances, nearest, k):
            distances, nearest = first(len(rows))
        order = by_id(self._reading, distances, nearest)[:k]
        return distances[order], nearest[order]


def _present(ascending: I64) -> I64:
    """Without the -1 that stand for no row."""
    return ascending[np.searchsorted(ascending, 0) :] if len(ascending) and ascending[0] < 0 else ascending
