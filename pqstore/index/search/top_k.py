"""Top-k search of a reading: arguments, nearest rows by codes, exact distances, rows to ids."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from pqstore.arrays import F32, I64
from pqstore.index.arguments.counts import as_count, check_results
from pqstore.index.code_space import CodeSpace
from pqstore.index.exact_space import ExactSpace
from pqstore.index.reading import Reading
from pqstore.index.search.hits import payloads_of_hits, plan_of, vectors_of_hits
from pqstore.index.search.question import NO_VARIETY, Question, as_include
from pqstore.index.search.ranking import Ranking, ranking_of
from pqstore.index.search.results import SearchHits, SearchResult
from pqstore.index.search.variety import as_variety
from pqstore.index.selection.searchable import select_searchable
from pqstore.index.selection.selection import Selection
from pqstore.kernels import resolve_threads
from pqstore.quantizer import as_queries

__all__ = ["search"]

_FLOAT32 = np.dtype(np.float32)
_NOTHING: frozenset[str] = frozenset()


def search(reading: Reading, queries: Any, question: Question) -> SearchResult:
    """Check the arguments, then search; see `pqstore.Index.search`."""
    k, threads, variety = as_count(question.k, "k"), resolve_threads(question.threads), None
    if question[11:] != NO_VARIETY:
        variety = as_variety(question, k)
        k = k if variety is None else variety.depth
    batch, single = _as_queries(queries, reading.space)
    wanted = _NOTHING if question.include == () else as_include(question.include)
    ranking = ranking_of(reading, question, k, threads)
    check_results(len(batch), ranking.depth, "k" if ranking.depth == k else "rerank")
    selection = select_searchable(reading, question.where, question.allow, question.deny)
    distances, rows, probe = ranking.best(batch, k, selection)
    if variety is not None:
        further = _Further(ranking, selection, whole=probe is None and ranking.candidates is None)
        distances, rows = variety.choose(reading, batch, distances, rows, further)
    if single:
        distances, rows = distances[0], rows[0]
    ids = reading.snapshot.ids_of(rows)
    if not wanted and not question.explain:
        return SearchResult(ids, distances)
    hits = SearchHits(ids, distances)
    if "payload" in wanted:
        hits.payloads = payloads_of_hits(reading, rows)
    if "vector" in wanted:
        hits.vectors = vectors_of_hits(reading, rows)
    if question.explain:
        hits.plan = plan_of(reading, selection, ranking.candidates, probe)
    return hits


class _Further(NamedTuple):
    """See `variety.Ranked`."""

    ranking: Ranking
    selection: Selection | None
    whole: bool

    def nearest(self, query: F32, count: int, within: Selection | None) -> tuple[F32, I64]:
        check_results(1, max(count, self.ranking.depth), "group_by")
        distances, rows, _ = self.ranking.best(query, count, self.selection if within is None else within)
        return distances[0], rows[0]


def _as_queries(queries: Any, space: CodeSpace | ExactSpace) -> tuple[F32, bool]:
    """Queries float32 (n, D), and whether a single vector came. Values are looked at when their tables are made, where
    that finds one that is not finite."""
    if type(queries) is np.ndarray and queries.dtype == _FLOAT32 and space.takes_queries:
        if queries.shape == (space.D,):
            return queries[None], True
        if queries.ndim == 2 and queries.shape[1] == space.D:
            return queries, False
    return as_queries(queries, space.D)
