"""Measuring how many candidates a recall needs."""

from __future__ import annotations

from typing import Any

import numpy as np

from pqstore.arrays import I64
from pqstore.index.arguments.counts import as_count, check_results
from pqstore.index.reading import Reading
from pqstore.index.recall.measuring import originals_for
from pqstore.index.search.calibration import Calibration
from pqstore.index.search.exact import exact_rows
from pqstore.index.search.nearest import nearest_rows
from pqstore.kernels import resolve_threads
from pqstore.quantizer import as_queries

__all__ = ["measure_calibration"]


_MOST_CANDIDATES = 4096


def measure_calibration(reading: Reading, queries: Any, recall: float, k: int, threads: int | None) -> Calibration:
    """The least number of candidates that reaches a recall; see `pqstore.Index.calibrate`."""
    originals_for(reading, "calibrate")
    k = as_count(k, "k")
    if not 0 < recall <= 1:
        raise ValueError(f"recall must be above 0 and at most 1, got {recall!r}")
    batch, _ = as_queries(queries, reading.space.D)
    vectors = reading.snapshot.live_rows
    k = min(k, vectors)
    if len(batch) == 0 or k == 0:
        raise ValueError("a calibration needs at least one query and one vector")
    most = min(vectors, max(_MOST_CANDIDATES, k))
    check_results(len(batch), most, "k")
    _, truth = exact_rows(reading, batch, k, resolve_threads(threads))
    _, rows = nearest_rows(reading, batch, most, resolve_threads(threads), None)
    places = _places(rows, truth)
    reached = np.cumsum(np.bincount(places.reshape(-1), minlength=most + 1)[:most]) / places.size
    enough = np.flatnonzero(reached >= recall - 1e-12)
    rerank = max(k, int(enough[0]) + 1 if len(enough) else most)
    return Calibration(recall, k, rerank, float(reached[rerank - 1]), len(batch), vectors)


def _places(rows: I64, truth: I64) -> I64:
    """Where each true neighbour stands in `rows` (n, most): int64, shaped as `truth`; `most` when it is not there."""
    most = rows.shape[1]
    places = np.full(truth.shape, most, dtype=np.int64)
    for mine, true, place in zip(rows, truth, places, strict=True):
        order = np.argsort(mine)
        spot = np.minimum(np.searchsorted(mine, true, sorter=order), most - 1)
        hit = mine[order[spot]] == true
        place[hit] = order[spot][hit]
    return places
