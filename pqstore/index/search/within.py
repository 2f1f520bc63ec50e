"""Range search: every row within a radius, by codes or by originals."""

from __future__ import annotations

import math
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from pqstore.arrays import F32
from pqstore.index.arguments.counts import as_count, check_results
from pqstore.index.reading import Reading
from pqstore.index.search.nearest import nearest_rows
from pqstore.index.search.order import by_id
from pqstore.index.search.probe import Probe, as_probe
from pqstore.index.search.question import Question, as_rerank
from pqstore.index.search.radius import Within, rows_within
from pqstore.index.search.rerank import Reranker
from pqstore.index.search.results import RangeResult
from pqstore.index.selection.searchable import select_searchable
from pqstore.index.selection.selection import Selection
from pqstore.kernels import resolve_threads
from pqstore.quantizer import as_queries

__all__ = ["as_radius", "range_search"]


_LARGEST = float(np.finfo(np.float32).max)
_DEPTH = 256  # rows of lists that are looked for at first


def range_search(reading: Reading, queries: Any, radius: Any, limit: Any, question: Question) -> RangeResult:
    """Check the arguments, then search; see `pqstore.Index.range_search`."""
    bound = as_radius(radius)
    most = None if limit is None else as_count(limit, "limit")
    threads = resolve_threads(question.threads)
    batch, single = as_queries(queries, reading.space.D)
    rerank = None if question.rerank is None else as_rerank(reading, question.rerank, 1)
    selection = select_searchable(reading, question.where, question.allow, question.deny)
    probe = None  # unless lists are asked for, all rows are looked at
    if question.nprobe is not None or question.scan is not None:
        probe = as_probe(reading, question.nprobe, question.scan, rerank or 0, selection)
    if rerank is not None:
        within = _reranked(reading, batch, bound, rerank, threads, selection, probe)
    elif probe is not None:
        within = [_in_lists(reading, query[None], bound, threads, probe) for query in batch]
    else:
        within = rows_within(reading, batch, bound, threads, selection)
    ids_and_distances = []
    for distances, rows in within:
        order = by_id(reading, distances, rows)[:most]
        ids_and_distances.append((reading.snapshot.ids_of(rows[order]), distances[order]))
    if single:
        return RangeResult(*ids_and_distances[0])
    return RangeResult([ids for ids, _ in ids_and_distances], [distances for _, distances in ids_and_distances])


def as_radius(radius: Any) -> float:
    """A radius as it compares with float32 distances: what is beyond their range is infinite."""
    if isinstance(radius, (bool, np.bool_, str, bytes)) or not np.isscalar(radius):
        raise TypeError(
            f"radius must be a number, got {type(radius).__name__}: the order is range_search(queries, radius)"
        )
    try:
        within = float(cast(float, radius))
    except OverflowError:  # a whole number beyond float64
        within = math.inf if cast(int, radius) > 0 else -math.inf
    except (TypeError, ValueError) as error:
        raise TypeError(f"radius must be a number, got {type(radius).__name__}") from error
    if math.isnan(within):
        raise ValueError("radius is not a number (NaN)")
    return within if abs(within) <= _LARGEST else math.copysign(math.inf, within)


def _in_lists(reading: Reading, query: F32, radius: float, threads: int, probe: Probe) -> Within:
    """Those of the rows that a probe reads, by deeper and deeper searches."""
    most = max(1, reading.snapshot.total_rows)
    depth = min(_DEPTH, most)
    while True:
        distances, rows = (found[0] for found in probe.search(reading, query, depth, threads))
        inside = _is_inside(reading, distances, radius) & (rows >= 0)
        if not inside[-1] or depth == most:
            return distances[inside], rows[inside]
        depth = min(4 * depth, most)


def _is_inside(reading: Reading, distances: F32, radius: float) -> npt.NDArray[np.bool_]:
    return distances >= radius if reading.space.larger_is_nearer else distances <= radius


def _reranked(
    reading: Reading,
    queries: F32,
    radius: float,
    rerank: int,
    threads: int,
    selection: Selection | None,
    probe: Probe | None,
) -> list[Within]:
    """Those of the best candidates by codes that are within the radius by their originals."""
    candidates = min(rerank, reading.snapshot.live_rows if selection is None else selection.count)
    if candidates == 0:
        return [(np.empty(0, np.float32), np.empty(0, np.int64)) for _ in queries]
    check_results(len(queries), candidates, "rerank")
    _, rows = nearest_rows(reading, queries, candidates, threads, selection, probe)
    distances, rows = Reranker(reading, queries, threads).best(rows, candidates)
    inside = _is_inside(reading, distances, radius) & (rows >= 0)
    return [(d[keep], r[keep]) for d, r, keep in zip(distances, rows, inside, strict=True)]
