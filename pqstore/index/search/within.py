"""Range search: every row within a radius, by codes or by originals."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from pqstore.arrays import F32, I64
from pqstore.index.arguments.counts import as_count, check_results
from pqstore.index.reading import Reading
from pqstore.index.search.nearest import nearest_rows
from pqstore.index.search.question import Question, as_rerank
from pqstore.index.search.rerank import Reranker
from pqstore.index.search.results import RangeResult
from pqstore.index.selection.select import select
from pqstore.index.selection.selection import Selection
from pqstore.kernels import CodeChunk, active, resolve_threads
from pqstore.quantizer import as_queries

__all__ = ["range_search"]


_LARGEST = float(np.finfo(np.float32).max)
_GROUP = 64  # queries whose tables are held at a time, so that codes are unpacked once for all of them

Within = tuple[F32, I64]
"""Distances and rows, in no order."""


def range_search(reading: Reading, queries: Any, radius: Any, limit: Any, question: Question) -> RangeResult:
    """Check the arguments, then search; see `pqstore.Index.range_search`."""
    bound = _as_radius(radius)
    most = None if limit is None else as_count(limit, "limit")
    threads = resolve_threads(question.threads)
    batch, single = as_queries(queries, reading.space.D)
    rerank = None if question.rerank is None else as_rerank(reading, question.rerank, 1)
    selection = select(reading, question.where, question.allow, question.deny)
    if rerank is not None:
        within = _reranked(reading, batch, bound, rerank, threads, selection)
    else:
        within = _by_codes(reading, batch, bound, threads, selection)
    ids_and_distances = []
    for distances, rows in within:
        order = np.lexsort((rows, -distances if reading.space.larger_is_nearer else distances))[:most]
        ids_and_distances.append((reading.snapshot.ids_of(rows[order]), distances[order]))
    if single:
        return RangeResult(*ids_and_distances[0])
    return RangeResult([ids for ids, _ in ids_and_distances], [distances for _, distances in ids_and_distances])


def _as_radius(radius: Any) -> float:
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


def _reranked(
    reading: Reading, queries: F32, radius: float, rerank: int, threads: int, selection: Selection | None
) -> list[Within]:
    """Those of the best candidates by codes that are within the radius by their originals."""
    candidates = min(rerank, reading.snapshot.live_rows if selection is None else selection.count)
    if candidates == 0:
        return [(np.empty(0, np.float32), np.empty(0, np.int64)) for _ in queries]
    check_results(len(queries), candidates, "rerank")
    _, rows = nearest_rows(reading, queries, candidates, threads, selection)
    distances, rows = Reranker(reading, queries).best(rows, candidates)
    inside = (distances >= radius) if reading.space.larger_is_nearer else (distances <= radius)
    inside &= rows >= 0
    return [(d[keep], r[keep]) for d, r, keep in zip(distances, rows, inside, strict=True)]


def _by_codes(reading: Reading, queries: F32, radius: float, threads: int, selection: Selection | None) -> list[Within]:
    """All rows within the radius by their codes."""
    within: list[Within] = []
    larger_is_nearer = reading.space.larger_is_nearer
    for start in range(0, len(queries), _GROUP):
        # Tables of dot and cosine are negated: least is nearest.
        tables = reading.space.scan_tables(queries[start : start + _GROUP])
        limit = -radius if larger_is_nearer else radius
        pieces: list[list[Within]] = [[] for _ in tables]
        for rows, codes in _codes(reading, selection):
            for q, table in enumerate(tables):
                distances = active().adist(table, codes, threads)
                inside = np.flatnonzero(distances <= limit)
                pieces[q].append((distances[inside], rows[inside]))
        for parts in pieces:
            distances = np.concatenate([part[0] for part in parts] or [np.empty(0, np.float32)])
            rows = np.concatenate([part[1] for part in parts] or [np.empty(0, np.int64)])
            within.append((-distances if larger_is_nearer else distances, rows))
    return within


def _codes(reading: Reading, selection: Selection | None) -> Iterator[tuple[I64, npt.NDArray[Any]]]:
    """(rows, stored labels) of all allowed live rows, in pieces of at most a segment."""
    if selection is not None and selection.gathers(reading):
        rows = selection.rows()
        if len(rows):
            yield rows, selection.codes(reading)
        return
    chunks: Any = reading.snapshot.chunks() if selection is None else selection.chunks(reading)
    for chunk in cast(Sequence[CodeChunk], chunks):
        codes = active().unpack(reading.space.layout, chunk.packed, chunk.rows)
        rows = np.arange(chunk.first_row, chunk.first_row + chunk.rows, dtype=np.int64)
        if chunk.dead is not None:
            live = np.unpackbits(chunk.dead, count=chunk.rows, bitorder="little") == 0
            rows, codes = rows[live], codes[live]
        yield rows, codes
