"""Plain searches, which ask for nothing but the k nearest: from queries to ids in one compiled call.

Most searches are plain, and most go to the state that the last one went to. What such a search needs is worked out once
a state; whatever else is asked, and whatever is wrong, goes the way of all searches (`top_k`), with the same results.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from pqstore.index.code_space import CodeSpace
from pqstore.index.lists.prepared import prepared_lists
from pqstore.index.reading import Reading
from pqstore.index.search.results import SearchResult
from pqstore.index.selection.searchable import rows_without_vector
from pqstore.storage import Store

__all__ = ["PlainSearches"]

PlainSearch: TypeAlias = Callable[[Any, Any, Any], "SearchResult | None"]
"""(queries, k, threads) -> hits; None: another state is the newest, or it is not for this to answer."""


class PlainSearches:
    """Those of one handle."""

    __slots__ = ("_learnt", "_seen", "_store", "search")

    def __init__(self, store: Store) -> None:
        self._store = store
        self.forget()

    def forget(self) -> None:
        """Keep nothing of a state."""
        self._seen: Any = None
        self._learnt: Any = None
        self.search: PlainSearch = _not_known

    def learn(self, reading: Reading) -> None:
        """Make ready for the next search of this state, after two that went the way of all. It is not worth it for one,
        as after each of many writes."""
        state = reading.snapshot.records.cached
        if self._learnt is state:
            return
        if self._seen is not state:
            self._seen, self._learnt, self.search = state, None, _not_known
            return
        self._learnt, self.search = state, _not_known
        compiled = self._compiled(reading) if _is_plain(reading) else None
        if compiled is not None:
            self.search = compiled.search

    def _compiled(self, reading: Reading) -> Any:
        ids, known = reading.snapshot.rows.id_places(), self._store.known(reading.snapshot)
        if ids is None or known is None:
            return None
        searcher, prepared = reading.coded.searcher, reading.all_prepared()
        return searcher.plain_search(prepared, known, ids, reading.rows_follow_ids, SearchResult)


def _is_plain(reading: Reading) -> bool:
    """Whether a search of this state that asks for nothing else is a scan of all rows."""
    space = reading.space
    if not isinstance(space, CodeSpace) or not space.takes_queries or space.training is not None:
        return False
    return rows_without_vector(reading) is None and prepared_lists(reading) is None


def _not_known(queries: Any, k: Any, threads: Any) -> SearchResult | None:  # noqa: ARG001 - as the compiled one
    return None
