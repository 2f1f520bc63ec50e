"""Plain searches, which ask for nothing but the nearest, by codes or re-ranked: queries to ids in one compiled call.

Most searches are plain, and most go to the state that the last one went to. What such a search needs is worked out once
a state, and once for each way to ask; whatever else is asked, and whatever is wrong, goes the way of all searches
(`top_k`), with the same results.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from pqstore.index.arguments.counts import as_count
from pqstore.index.code_space import CodeSpace
from pqstore.index.lists.prepared import prepared_lists
from pqstore.index.reading import Reading
from pqstore.index.search.question import NO_EFFORT, Question
from pqstore.index.search.ranking import Ranking, ranking_of
from pqstore.index.search.results import SearchResult
from pqstore.index.selection.searchable import rows_without_vector
from pqstore.kernels import unit_length
from pqstore.quantizer import as_queries
from pqstore.storage import Store

__all__ = ["PlainSearches"]

PlainSearch: TypeAlias = Callable[[Any, Any, Any], "SearchResult | None"]
"""(queries, k, threads) -> hits; None: another state is the newest, or it is not for this to answer."""

_MOST_WAYS = 16


class PlainSearches:
    """Those of one handle."""

    __slots__ = ("_state", "_store", "_ways", "search")

    def __init__(self, store: Store) -> None:
        self._store = store
        self.forget()

    def forget(self) -> None:
        """Keep nothing of a state."""
        self._state: Any = None
        self._ways: dict[Any, PlainSearch] = {}
        self.search: PlainSearch = _not_known
        """By codes, all of which are scanned."""

    def ranked(self, queries: Any, k: Any, threads: Any, rerank: Any, effort: tuple[Any, ...]) -> SearchResult | None:
        """As `search`, by lists or re-ranked: `effort` is nprobe, scan and recall."""
        try:
            way = self._ways.get(_way(k, rerank, effort))
        except TypeError:  # what cannot be a key is for others to refuse
            return None
        return None if way is None else way(queries, k, threads)

    def learn(self, reading: Reading, question: Question) -> None:
        """Make ready for the next search of this state that asks so, after two of it that went the way of all. It is
        not worth it for one, as after each of many writes."""
        state = reading.snapshot.records.cached
        if self._state is not state:
            self.forget()
            self._state = state
            return
        if question.rerank is None and question.effort == NO_EFFORT and _is_scan(reading):
            if self.search is _not_known:
                self.search = self._compiled(reading, question, None)
            return
        way = _way(question.k, question.rerank, question.effort)
        if way not in self._ways and len(self._ways) < _MOST_WAYS:
            ranking = ranking_of(reading, question, as_count(question.k, "k"), 1) if _is_plain(reading) else None
            self._ways[way] = _not_known if ranking is None else self._compiled(reading, question, ranking)

    def _compiled(self, reading: Reading, question: Question, ranking: Ranking | None) -> PlainSearch:
        """With a ranking as it says, else by codes, all of which are scanned, for any k."""
        ids, known = reading.snapshot.rows.id_places(), self._store.known(reading.snapshot)
        if ids is None or known is None:
            return _not_known
        prepared, effort, exact = None, None, None
        if ranking is not None:
            k = as_count(question.k, "k")
            probe = ranking.probe(k, None)
            if probe is not None:
                prepared, effort = probe.prepared, probe.effort
            if ranking.candidates is not None:
                exact = _exact(reading, ranking.places(k))
        if prepared is None:
            prepared = reading.all_prepared()
        compiled = reading.coded.searcher.plain_search(
            prepared, known, ids, reading.rows_follow_ids, SearchResult, effort, exact
        )
        if compiled is None:
            return _not_known
        search: PlainSearch = compiled.search
        return search if reading.coded.takes_queries else _turning(search, reading.coded)


def _way(k: Any, rerank: Any, effort: tuple[Any, ...]) -> tuple[Any, ...]:
    """What tells ways to ask apart: True is no 1 here, and 1.0 neither."""
    return k, rerank, effort, type(k), type(rerank), *map(type, effort)


def _is_plain(reading: Reading) -> bool:
    """Whether compiled code can search this state by codes."""
    return isinstance(reading.space, CodeSpace) and rows_without_vector(reading) is None


def _is_scan(reading: Reading) -> bool:
    """Whether a search of this state that asks for nothing else is a scan of all rows."""
    space = reading.space
    if not isinstance(space, CodeSpace) or not space.takes_queries or space.training is not None:
        return False
    return rows_without_vector(reading) is None and prepared_lists(reading) is None


def _exact(reading: Reading, candidates: int) -> tuple[Any, ...]:
    """What compiled code re-ranks so many candidates by."""
    originals, (files, segment_rows) = reading.space.originals, reading.snapshot.attachments.original_maps()
    assert originals is not None, "there is something to re-rank by"
    return originals.kind, reading.space.metric, files, segment_rows, originals.D, candidates


def _turning(search: Callable[..., SearchResult | None], space: CodeSpace) -> PlainSearch:
    """For queries that are not in the space of the codewords as they come."""

    def turned(queries: Any, k: Any, threads: Any) -> SearchResult | None:
        batch, _ = as_queries(queries, space.D)
        wide = unit_length(batch.astype(np.float64)) if space.metric == "cosine" else None
        return search(queries, k, threads, space.turned(batch), wide)

    return turned


def _not_known(queries: Any, k: Any, threads: Any) -> SearchResult | None:  # noqa: ARG001 - as the compiled one
    return None
