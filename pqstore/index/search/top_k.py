"""Top-k search of a reading: arguments, nearest rows by codes, exact distances, rows to ids."""

from __future__ import annotations

from typing import Any

import numpy as np

from pqstore.arrays import F32, I64
from pqstore.index.arguments.counts import as_count, check_results
from pqstore.index.code_space import CodeSpace
from pqstore.index.exact_space import ExactSpace
from pqstore.index.reading import Reading
from pqstore.index.search.calibration import effort_for
from pqstore.index.search.hits import payloads_of_hits, plan_of, vectors_of_hits
from pqstore.index.search.nearest import nearest_rows
from pqstore.index.search.probe import as_probe
from pqstore.index.search.question import NO_VARIETY, Question, as_include, as_rerank
from pqstore.index.search.rerank import Reranker
from pqstore.index.search.results import SearchHits, SearchResult
from pqstore.index.search.variety import as_variety
from pqstore.index.selection.searchable import select_searchable
from pqstore.kernels import resolve_threads
from pqstore.quantizer import as_queries

__all__ = ["search"]

_FLOAT32 = np.dtype(np.float32)
_NOTHING: frozenset[str] = frozenset()


def search(reading: Reading, queries: Any, question: Question) -> SearchResult:
    """Check the arguments, then search; see `pqstore.Index.search`."""
    k, threads, rerank, where, allow, deny, include, explain, nprobe, scan, recall = question[:11]
    k, threads, variety = as_count(k, "k"), resolve_threads(threads), None
    if question[11:] != NO_VARIETY:
        variety = as_variety(question, k)
        k = k if variety is None else variety.depth
    batch, single = _as_queries(queries, reading.space)
    usual = None  # rows of lists
    wanted = _NOTHING if include == () else as_include(include)
    if recall is not None:
        if rerank is not None or nprobe is not None or scan is not None:
            raise ValueError("recall says how much is read and re-ranked: leave out rerank, nprobe and scan")
        rerank, usual = effort_for(reading, recall, k)
    candidates, depth = None, k
    if rerank is not None or reading.space.training is not None:
        candidates = as_rerank(reading, rerank, k)
    if candidates is not None:
        depth = min(candidates, max(k, reading.snapshot.live_rows))  # there are no more
    check_results(len(batch), depth, "k" if depth == k else "rerank")
    selection = select_searchable(reading, where, allow, deny)
    probe = as_probe(reading, nprobe, scan, depth, selection, usual)
    distances, rows = nearest_rows(reading, batch, depth, threads, selection, probe)
    if candidates is not None:
        distances, rows = Reranker(reading, batch, threads).best(rows, k)
    if variety is not None:

        def ranked(query: F32, count: int, values: list[Any] | None) -> tuple[F32, I64]:
            far = count if candidates is None else max(count, depth)
            check_results(1, far, "group_by")
            among = selection
            if values is not None:
                only = {question.group_by: {"$in": values}}
                among = select_searchable(reading, only if where is None else {"$and": [where, only]}, allow, deny)
            more = as_probe(reading, nprobe, scan, far, among, usual)
            near, found = nearest_rows(reading, query, far, threads, among, more)
            return (near, found) if candidates is None else Reranker(reading, query, threads).best(found, count)

        distances, rows = variety.choose(reading, batch, distances, rows, ranked)
    if single:
        distances, rows = distances[0], rows[0]
    ids = reading.snapshot.ids_of(rows)
    if not wanted and not explain:
        return SearchResult(ids, distances)
    hits = SearchHits(ids, distances)
    if "payload" in wanted:
        hits.payloads = payloads_of_hits(reading, rows)
    if "vector" in wanted:
        hits.vectors = vectors_of_hits(reading, rows)
    if explain:
        hits.plan = plan_of(reading, selection, candidates, probe)
    return hits


def _as_queries(queries: Any, space: CodeSpace | ExactSpace) -> tuple[F32, bool]:
    """Queries float32 (n, D), and whether a single vector came. Values are looked at when their tables are made, where
    that finds one that is not finite."""
    if type(queries) is np.ndarray and queries.dtype == _FLOAT32 and space.takes_queries:
        if queries.shape == (space.D,):
            return queries[None], True
        if queries.ndim == 2 and queries.shape[1] == space.D:
            return queries, False
    return as_queries(queries, space.D)
