"""Several shards of one process that are asked as if they were one: they answer what a `ShardView` answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pqstore.index import ScrollPage
from pqstore.index.arguments.ids import IdArray
from pqstore.shards.answering import Answer, Restriction, ShardView
from pqstore.shards.asking import Asker
from pqstore.shards.merging import Found
from pqstore.warning import collected_warnings

__all__ = ["GroupView"]


class GroupView:
    """One state of a group; every call answers with an `Answer`."""

    def __init__(self, asker: Asker) -> None:
        self._asker = asker

    def ask(self, method: str, arguments: tuple[Any, ...]) -> Answer:
        """The answer of one of `ShardView.METHODS`."""
        assert method in ShardView.METHODS
        with collected_warnings() as told:
            value = getattr(self, f"_{method}")(*arguments)
        rows = self._asker.count(Restriction()) if told else 1  # which matters where there is a warning
        return Answer(value, tuple(told), rows)

    def _nearest(self, queries: Any, depth: int, asked: Restriction) -> Found:
        best = self._asker.nearest(queries, depth, asked)
        return Found(best.ids, best.distances)

    def _nearest_of(self, queries: Any, candidates: Sequence[IdArray], k: int) -> Found:
        best = self._asker.nearest_of(queries, candidates, k)
        return Found(best.ids, best.distances)

    def _within(self, queries: Any, radius: Any, limit: Any, asked: Restriction) -> tuple[list[Any], list[Any]]:
        ids, distances = self._asker.range_search(queries, radius, limit, None, asked)
        return ids, distances

    def _records(self, ids: IdArray, include: Any, must_exist: bool) -> list[Any]:
        found: list[Any] = self._asker.get(ids, include, must_exist)
        return found

    def _count(self, asked: Restriction) -> int:
        return self._asker.count(asked)

    def _page(self, where: Any, limit: int, after: Any, include: Any) -> ScrollPage:
        return self._asker.scroll(where, limit, after, include)
