"""What is asked of one shard: beside its index, in the process of the collection or in one of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from pqstore.errors import CorruptIndexError, FilterKindWarning
from pqstore.index import ScrollPage
from pqstore.index.arguments.ids import IdArray
from pqstore.index.search.candidates import nearest_of
from pqstore.index.snapshot_view import SnapshotView
from pqstore.shards.merging import Found
from pqstore.warning import collected_warnings

__all__ = ["Answer", "Restriction", "ShardView", "is_of_rows"]


class Restriction(NamedTuple):
    """Which vectors are meant, and how they are looked for; as for `pqstore.Index.search`."""

    where: Any = None
    allow: Any = None
    deny: Any = None
    nprobe: Any = None
    scan: Any = None
    threads: int | None = None

    @property
    def restricts(self) -> bool:
        """Whether some vectors may not be found."""
        return self.where is not None or self.allow is not None or self.deny is not None

    def filters(self) -> dict[str, Any]:
        """The arguments that say which vectors."""
        return {"where": self.where, "allow": self.allow, "deny": self.deny}


class Answer(NamedTuple):
    """What a shard says, and what it would warn of."""

    value: Any
    warnings: tuple[tuple[str, type[Warning]], ...]
    rows: int
    """Vectors of the shard."""


def is_of_rows(category: type[Warning]) -> bool:
    """Whether a warning holds for a collection only when all shards that have rows give it."""
    return issubclass(category, FilterKindWarning)


class ShardView:
    """One state of a shard; every call answers with an `Answer`."""

    METHODS = ("nearest", "nearest_of", "within", "records", "count", "page")

    def __init__(self, view: SnapshotView) -> None:
        self._view = view

    def ask(self, method: str, arguments: tuple[Any, ...]) -> Answer:
        """The answer of one of `METHODS`."""
        assert method in self.METHODS
        with collected_warnings() as told:
            value = getattr(self, f"_{method}")(*arguments)
        return Answer(value, tuple(told), len(self._view))

    def _nearest(self, queries: Any, depth: int, asked: Restriction) -> Found:
        """The nearest by codes: no more than there are."""
        rows = min(depth, max(1, len(self._view)))
        ids, distances = self._view.search(
            queries, rows, asked.threads, rerank=0, nprobe=asked.nprobe, scan=asked.scan, **asked.filters()
        )
        return Found(ids, distances)

    def _nearest_of(self, queries: Any, candidates: Sequence[IdArray], k: int) -> Found:
        """The nearest of candidates by their originals."""
        most = max(1, max(map(len, candidates), default=1))
        with self._view.reading() as reading:
            return Found(*nearest_of(reading, queries, candidates, min(k, most)))

    def _within(self, queries: Any, radius: Any, limit: Any, asked: Restriction) -> tuple[list[Any], list[Any]]:
        ids, distances = self._view.range_search(queries, radius, limit=limit, threads=asked.threads, **asked.filters())
        return list(ids), list(distances)

    def _records(self, ids: IdArray, include: Any, must_exist: bool) -> list[Any]:
        """Records of ids, None for those that are not here."""
        found: list[Any] = self._view.get(ids, include=include, missing="ignore")
        if must_exist and None in found:
            raise CorruptIndexError(f"id {ids[found.index(None)]!r} was found, and cannot be read")
        return found

    def _count(self, asked: Restriction) -> int:
        return self._view.count(**asked.filters())

    def _page(self, where: Any, limit: int, after: Any, include: Any) -> ScrollPage:
        return self._view.scroll(where, limit=limit, after=after, include=include)
