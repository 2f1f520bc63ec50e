"""Range search: every row within a radius, by codes or by originals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, cast

import numpy as np

from pqstore.arrays import F32, I64
from pqstore.index.arguments.ids import IdType
from pqstore.index.code_space import CodeSpace
from pqstore.index.search.rerank import ExactScorer
from pqstore.index.search.results import RangeResult
from pqstore.index.search.top_k import Question, as_count, as_rerank, gathers, nearest_rows
from pqstore.index.selection.select import Selection, select
from pqstore.kernels import CodeChunk, active, resolve_threads
from pqstore.quantizer import as_queries
from pqstore.storage import Snapshot

__all__ = ["range_search"]


_GROUP = 64  # queries whose tables are held at a time, so that codes are unpacked once for all of them


def range_search(
    snapshot: Snapshot, space: CodeSpace, id_type: IdType, queries: Any, radius: Any, limit: Any, question: Question
) -> RangeResult:
    """Check the arguments, then search; see `pqstore.Index.range_search`."""
    within = _as_radius(radius)
    most = None if limit is None else as_count(limit, "limit")
    threads = resolve_threads(question.threads)
    batch, single = as_queries(queries, space.D)
    rerank = as_rerank(snapshot, space, question.rerank, 1)
    selection = select(snapshot, id_type, question.where, question.allow, question.deny)
    if rerank is not None:
        found = _reranked(snapshot, space, batch, within, rerank, threads, selection)
    else:
        found = _by_codes(snapshot, space, batch, within, threads, selection)
    answers = []
    for distances, rows in found:
        order = np.lexsort((rows, -distances if space.larger_is_nearer else distances))[:most]
        answers.append((snapshot.ids_of(rows[order]), distances[order]))
    if single:
        return RangeResult(*answers[0])
    return RangeResult([ids for ids, _ in answers], [distances for _, distances in answers])


def _as_radius(radius: Any) -> float:
    if isinstance(radius, (bool, str)) or not np.isscalar(radius):
        raise TypeError(f"radius must be a number, got {type(radius).__name__}")
    within = float(cast(float, radius))
    if math.isnan(within):
        raise ValueError("radius is not a number (NaN)")
    return within


def _reranked(
    snapshot: Snapshot,
    space: CodeSpace,
    queries: F32,
    radius: float,
    rerank: int,
    threads: int,
    selection: Selection | None,
) -> list[tuple[F32, I64]]:
    """Those of the best candidates by codes that are within the radius by their originals."""
    assert space.originals is not None
    candidates = min(rerank, snapshot.live_rows if selection is None else selection.count)
    if candidates == 0:
        return [(np.empty(0, np.float32), np.empty(0, np.int64)) for _ in queries]
    _, rows = nearest_rows(snapshot, space, queries, candidates, threads, selection)
    distances, rows = ExactScorer(snapshot, space.originals, space.metric, queries).best(rows, candidates)
    inside = (distances >= radius) if space.larger_is_nearer else (distances <= radius)
    inside &= rows >= 0
    return [(d[keep], r[keep]) for d, r, keep in zip(distances, rows, inside, strict=True)]


def _by_codes(
    snapshot: Snapshot, space: CodeSpace, queries: F32, radius: float, threads: int, selection: Selection | None
) -> list[tuple[F32, I64]]:
    """All rows within the radius by their codes."""
    found: list[tuple[F32, I64]] = []
    for start in range(0, len(queries), _GROUP):
        # Tables of dot and cosine are negated: least is nearest.
        tables = space.scan_tables(queries[start : start + _GROUP])
        limit = -radius if space.larger_is_nearer else radius
        pieces: list[list[tuple[F32, I64]]] = [[] for _ in tables]
        for rows, codes in _codes(snapshot, space, selection):
            for q, table in enumerate(tables):
                distances = active().adist(table, codes, threads)
                inside = np.flatnonzero(distances <= limit)
                pieces[q].append((distances[inside], rows[inside]))
        for parts in pieces:
            distances = np.concatenate([part[0] for part in parts] or [np.empty(0, np.float32)])
            rows = np.concatenate([part[1] for part in parts] or [np.empty(0, np.int64)])
            found.append((-distances if space.larger_is_nearer else distances, rows))
    return found


def _codes(snapshot: Snapshot, space: CodeSpace, selection: Selection | None) -> Any:
    """(rows, codes) of all allowed live rows, in pieces of at most a segment."""
    if selection is not None and gathers(snapshot, space, selection):
        rows = selection.rows()
        if len(rows):
            yield rows, selection.codes(snapshot)
        return
    chunks = cast(Sequence[CodeChunk], snapshot.chunks() if selection is None else selection.chunks(snapshot))
    for chunk in chunks:
        codes = active().unpack(space.layout, chunk.packed, chunk.rows)
        rows = np.arange(chunk.first_row, chunk.first_row + chunk.rows, dtype=np.int64)
        if chunk.dead is not None:
            live = np.unpackbits(chunk.dead, count=chunk.rows, bitorder="little") == 0
            rows, codes = rows[live], codes[live]
        yield rows, codes
