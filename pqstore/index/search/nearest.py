"""The nearest rows by codes: by a scan of all chunks, of those with an allowed row, or of allowed rows fetched."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from pqstore.arrays import F32, I64
from pqstore.index.reading import Reading
from pqstore.index.search.order import by_id, has_ties, reaches_beyond
from pqstore.index.search.probe import Probe
from pqstore.index.search.radius import rows_within
from pqstore.index.selection.selection import Selection

__all__ = ["nearest_rows"]


def nearest_rows(
    reading: Reading,
    queries: F32,
    k: int,
    threads: int,
    selection: Selection | None,
    probe: Probe | None = None,
) -> tuple[F32, I64]:
    """The k nearest by codes: distances float32 (n, k), in the sign of the metric, and rows int64 (n, k), padded.

    Of all rows, or with `probe` of some lists. Equal distances stand in the order of ids, also where some of them no
    longer fit into k.
    """

    def scanned(some: F32, depth: int) -> tuple[F32, I64]:
        if probe is None:
            return _scanned(reading, some, depth, threads, selection)
        return probe.search(reading, some, depth, threads)

    if reading.rows_follow_ids:
        return scanned(queries, k)
    distances, rows = scanned(queries, k + 1)
    for q in np.flatnonzero(has_ties(distances, rows).any(axis=1)):
        near, its = distances[q], rows[q]
        if reaches_beyond(near, its, k):
            one, bound = queries[q : q + 1], near[k - 1]
            if probe is None:
                near, its = _all_as_near(reading, one, bound, k, threads, selection)
            else:
                near, its = _deeper(partial(scanned, one), bound, k)
        near, its = near[its >= 0], its[its >= 0]
        order = by_id(reading, near, its)[:k]
        distances[q, : len(order)], rows[q, : len(order)] = near[order], its[order]
    return np.ascontiguousarray(distances[:, :k]), np.ascontiguousarray(rows[:, :k])


def _all_as_near(
    reading: Reading, query: F32, bound: np.float32, k: int, threads: int, selection: Selection | None
) -> tuple[F32, I64]:
    """All rows that are as near as `bound`, the distance of the k-th. A few are found by a deeper scan."""
    depth = 4 * k + 64
    distances, rows = _scanned(reading, query, depth, threads, selection)
    if rows[0, -1] >= 0 and distances[0, -1] == bound:
        return rows_within(reading, query, float(bound), threads, selection)[0]
    return distances[0], rows[0]


def _deeper(scanned: Callable[[int], tuple[F32, I64]], bound: np.float32, k: int) -> tuple[F32, I64]:
    """The same by deeper and deeper scans."""
    depth = k
    while True:
        depth = 4 * depth + 64
        distances, rows = scanned(depth)
        if rows[0, -1] < 0 or distances[0, -1] != bound:
            return distances[0], rows[0]


def _scanned(reading: Reading, queries: F32, k: int, threads: int, selection: Selection | None) -> tuple[F32, I64]:
    """The k nearest, equal distances by row."""
    if selection is None:
        return reading.space.search(queries, reading.all_prepared(), k, threads)
    if not selection.gathers(reading, len(queries)):
        return reading.space.search(queries, selection.prepared(reading), k, threads)
    distances, places = reading.space.search(queries, selection.gathered(reading), k, threads)
    return distances, selection.rows_at(places)
