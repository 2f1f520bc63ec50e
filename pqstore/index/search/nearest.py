"""The nearest rows by codes: by a scan of all chunks, of those with an allowed row, or of allowed rows fetched."""

from __future__ import annotations

from pqstore.arrays import F32, I64
from pqstore.index.reading import Reading
from pqstore.index.selection.selection import Selection

__all__ = ["nearest_rows"]


def nearest_rows(reading: Reading, queries: F32, k: int, threads: int, selection: Selection | None) -> tuple[F32, I64]:
    """The k nearest by codes: distances float32 (n, k), in the sign of the metric, and rows int64 (n, k), padded."""
    if selection is None:
        return reading.space.search(queries, reading.all_prepared(), k, threads)
    if not selection.gathers(reading):
        return reading.space.search(queries, selection.prepared(reading), k, threads)
    distances, places = reading.space.search(queries, selection.gathered(reading), k, threads)
    return distances, selection.rows_at(places)
