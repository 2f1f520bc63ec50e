"""One question to all shards, and one answer out of theirs: that of a single index over the same vectors.

It does not matter here where shards are asked: `FanOut` asks them in this process, or wherever they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from pqstore.arrays import F32, I64
from pqstore.errors import UnknownIdError
from pqstore.index import RangeResult, Record, ScrollPage, SearchHits, SearchResult
from pqstore.index.arguments.counts import as_count, check_results
from pqstore.index.arguments.ids import IdArray, IdType, as_id_batch, is_single_id
from pqstore.index.search.question import as_include
from pqstore.index.search.within import as_radius
from pqstore.kernels import OriginalKind, resolve_threads
from pqstore.quantizer import Metric, as_queries
from pqstore.shards.answering import Answer, Restriction, is_of_rows
from pqstore.shards.merging import Found, Merged, merged, merged_within
from pqstore.warning import warn_caller

__all__ = ["Asker", "FanOut", "Nature", "Together"]

FanOut: TypeAlias = Callable[[str, Mapping[int, tuple[Any, ...]]], Mapping[int, Answer]]
"""(method of `ShardView`, its arguments for each shard that is asked) -> what these shards answer; of shards that do
not answer, where that is allowed, nothing."""


Together: TypeAlias = Callable[[F32, int, Restriction], "tuple[Merged, npt.NDArray[np.bool_]] | None"]
"""(queries, k, how) -> the nearest by codes of all shards at once, and for which queries it does not know them; None:
it cannot look for them so."""


@dataclass(frozen=True, slots=True)
class Nature:
    """What all shards have in common."""

    D: int
    metric: Metric
    id_type: IdType
    originals: OriginalKind | None

    @property
    def larger_is_nearer(self) -> bool:
        return self.metric != "l2"

    @property
    def strings(self) -> bool:
        """Whether ids are str."""
        return self.id_type == "str"


class Asker:
    """Puts questions to the shards of a collection, all in one state."""

    def __init__(
        self, nature: Nature, shards: Sequence[int], fan_out: FanOut, together: Together | None = None
    ) -> None:
        """`shards`: the numbers of those that are asked; `together`: a quicker way, where there is one."""
        self._together = together
        self._nature = nature
        self._shards = tuple(shards)
        self._fan_out = fan_out

    def search(self, queries: Any, k: Any, rerank: Any, include: Any, asked: Restriction) -> SearchResult:
        """See `Collection.search`."""
        count = as_count(k, "k")
        resolve_threads(asked.threads)
        batch, single = as_queries(queries, self._nature.D)
        wanted = as_include(include)
        candidates = self._as_rerank(rerank, count)
        depth = count if candidates is None else candidates
        check_results(len(batch), depth, "k" if candidates is None else "rerank")
        best = self.nearest(batch, depth, asked)
        if candidates is not None:
            best = self._reranked(batch, best, count)
        records = self._records_of(best, wanted) if wanted else {}
        if single:
            best = Merged(*(part[0] for part in best))
        if not wanted:
            return SearchResult(best.ids, best.distances)
        hits = SearchHits(best.ids, best.distances)
        if "payload" in wanted:
            hits.payloads = _payloads(best.ids, best.shards, records)
        if "vector" in wanted:
            hits.vectors = self._vectors(best, records)
        return hits

    def range_search(self, queries: Any, radius: Any, limit: Any, rerank: Any, asked: Restriction) -> RangeResult:
        """See `Collection.range_search`."""
        bound, most = as_radius(radius), None if limit is None else as_count(limit, "limit")
        batch, single = as_queries(queries, self._nature.D)
        candidates = self._as_rerank(rerank, 1)
        if candidates is None:
            answers = self._ask_all("within", (batch, bound, most, asked))
        else:
            check_results(len(batch), candidates, "rerank")
            best = self._reranked(batch, self.nearest(batch, candidates, asked), candidates)
            answers = {0: self._within(best, bound, most)}
        if not answers:
            none = np.empty(0, dtype=object if self._nature.strings else np.int64)
            answers = {0: ([none] * len(batch), [np.empty(0, dtype=np.float32)] * len(batch))}
        ids, distances = merged_within(answers, len(batch), most, larger_is_nearer=self._nature.larger_is_nearer)
        return RangeResult(ids[0], distances[0]) if single else RangeResult(ids, distances)

    def get(self, ids: Any, include: Any, must_exist: bool) -> Any:
        """See `Collection.get`."""
        wanted = tuple(sorted(as_include(include)))
        batch = as_id_batch(ids, self._nature.id_type)
        found: list[Record | None] = [None] * len(batch)
        for records in self._ask_all("records", (batch, wanted, False)).values():
            found = [old if new is None else new for old, new in zip(found, records, strict=True)]
        if must_exist and None in found:
            unknown = [id for id, record in zip(batch.tolist(), found, strict=True) if record is None]
            shown = ", ".join(map(repr, unknown[:5])) + (f" and {len(unknown) - 5} more" if len(unknown) > 5 else "")
            raise UnknownIdError(f"{len(unknown)} ids are in no shard of the collection: {shown}")
        return found[0] if is_single_id(ids) else found

    def count(self, asked: Restriction) -> int:
        """See `Collection.count`."""
        return sum(self._ask_all("count", (asked,)).values())

    def scroll(self, where: Any, limit: Any, after: Any, include: Any) -> ScrollPage:
        """See `Collection.scroll`."""
        count = as_count(limit, "limit")
        wanted = tuple(sorted(as_include(include)))
        if self._nature.strings:
            return self._scroll_strings(where, count, after, wanted)
        pages = self._ask_all("page", (where, count, after, wanted))
        records = {record.id: record for page in pages.values() for record in page.records}
        ordered = [records[id] for id in sorted(records)]
        more = len(ordered) > count or any(page.after is not None for page in pages.values())
        return ScrollPage(ordered[:count], ordered[:count][-1].id if more else None)

    def _scroll_strings(self, where: Any, count: int, after: Any, include: tuple[str, ...]) -> ScrollPage:
        """Shard by shard: each has an order of its own for str ids. Where to go on says the shard too."""
        shard, start = (self._shards[0], None) if after is None else _as_cursor(after)
        found: list[Record] = []
        for number in self._shards:
            if number < shard:
                continue
            rest = count - len(found)
            pages = self._ask("page", {number: (where, max(rest, 1), start if number == shard else None, include)})
            page: ScrollPage = pages.get(number, ScrollPage([], None))
            if rest == 0 and page.records:
                return ScrollPage(found, f"{number}/")
            found += page.records
            if page.after is not None:
                return ScrollPage(found, f"{number}/{page.after}")
        return ScrollPage(found, None)

    def _as_rerank(self, rerank: Any, k: int) -> int | None:
        """How many candidates of all shards are scored by their originals; None: none.

        Raises:
            ValueError, TypeError: it is below k, no count, or there are no originals.
        """
        if rerank is None or (isinstance(rerank, (int, np.integer)) and type(rerank) is not bool and rerank == 0):
            return None
        if isinstance(rerank, (str, bool)):
            raise TypeError(f"rerank is the number of candidates of all shards to score exactly, got {rerank!r}")
        if self._nature.originals is None:
            raise ValueError("rerank needs the original vectors, which this collection does not store: train with them")
        count = as_count(rerank, "rerank")
        if count < k:
            raise ValueError(f"rerank must be at least k = {k}, got {count}: the k best come from the reranked ones")
        return count

    def _ask_all(self, method: str, arguments: tuple[Any, ...]) -> dict[int, Any]:
        return self._ask(method, dict.fromkeys(self._shards, arguments))

    def _ask(self, method: str, arguments: Mapping[int, tuple[Any, ...]]) -> dict[int, Any]:
        """What shards answer; what they would warn of is told once."""
        answers = self._fan_out(method, arguments)
        _warn(answers)
        return {number: answers[number].value for number in sorted(answers)}

    def nearest_of(self, queries: F32, candidates: Sequence[IdArray], k: int) -> Merged:
        """The nearest of each query's candidates by their originals, whichever shard holds them."""
        found: dict[int, Found] = self._ask_all("nearest_of", (queries, candidates, k))
        return self._merged(found, len(queries), k)

    def nearest(self, queries: F32, depth: int, asked: Restriction) -> Merged:
        """The nearest of all shards by codes."""
        quick = None if self._together is None else self._together(queries, depth, asked)
        if quick is not None:
            best, is_open = quick
            if not is_open.any():
                return best
            rest = self._nearest_of_each(queries[is_open], depth, asked)
            best.ids[is_open], best.distances[is_open], best.shards[is_open] = rest
            return best
        return self._nearest_of_each(queries, depth, asked)

    def _nearest_of_each(self, queries: F32, depth: int, asked: Restriction) -> Merged:
        found: dict[int, Found] = self._ask_all("nearest", (queries, depth, asked))
        return self._merged(found, len(queries), depth)

    def _reranked(self, queries: F32, candidates: Merged, k: int) -> Merged:
        """The nearest of candidates by their originals: each shard scores those that it holds, and none besides."""
        arguments: dict[int, tuple[Any, ...]] = {}
        for shard in np.unique(candidates.shards[candidates.shards >= 0]).tolist():
            mine = candidates.shards == shard
            asking = np.flatnonzero(mine.any(axis=1))
            ids = [candidates.ids[query][mine[query]] for query in asking.tolist()]
            arguments[shard] = (queries[asking], ids, k)
        found: dict[int, Found] = self._ask("nearest_of", arguments)
        far = -np.inf if self._nature.larger_is_nearer else np.inf
        whole = {
            shard: _spread(found[shard], np.flatnonzero((candidates.shards == shard).any(axis=1)), candidates, far)
            for shard in found
        }
        return self._merged(whole, len(queries), k)

    def _merged(self, found: Mapping[int, Found], queries: int, k: int) -> Merged:
        nature = self._nature
        return merged(found, queries, k, larger_is_nearer=nature.larger_is_nearer, strings=nature.strings)

    def _within(self, best: Merged, radius: float, most: int | None) -> tuple[list[IdArray], list[F32]]:
        """Those of the candidates that are within a radius."""
        inside = best.distances >= radius if self._nature.larger_is_nearer else best.distances <= radius
        inside &= best.shards >= 0
        ids = [row[keep][:most] for row, keep in zip(best.ids, inside, strict=True)]
        return ids, [row[keep][:most] for row, keep in zip(best.distances, inside, strict=True)]

    def _records_of(self, best: Merged, wanted: frozenset[str]) -> dict[Any, Record]:
        """The records of what was found, by id."""
        arguments: dict[int, tuple[Any, ...]] = {}
        for shard in np.unique(best.shards[best.shards >= 0]).tolist():
            ids = list(dict.fromkeys(best.ids[best.shards == shard].tolist()))
            arguments[shard] = (as_id_batch(ids, self._nature.id_type), tuple(sorted(wanted)), True)
        answers = self._ask("records", arguments)
        return {record.id: record for records in answers.values() for record in records}

    def _vectors(self, best: Merged, records: Mapping[Any, Record]) -> F32:
        vectors = np.full((*best.ids.shape, self._nature.D), np.nan, dtype=np.float32)
        for place in zip(*np.nonzero(best.shards >= 0), strict=True):
            record = records.get(best.ids[place])
            if record is not None and record.vector is not None:
                vectors[place] = record.vector
        return vectors


def _spread(found: Found, queries: Any, like: Merged, far: float) -> Found:
    """What was found for some of the queries, padded for all."""
    shape = (len(like.ids), found.ids.shape[1])
    strings = like.ids.dtype == object
    ids: IdArray = np.full(shape, None, dtype=object) if strings else np.full(shape, -1, dtype=np.int64)
    distances = np.full(shape, far, dtype=np.float32)
    ids[queries], distances[queries] = found.ids, found.distances
    return Found(ids, distances)


def _payloads(ids: IdArray, shards: I64, records: Mapping[Any, Record]) -> list[Any]:
    """Payloads in lists shaped as `ids`; None for padding, whose id may be one that there is, and for what a shard that
    does not answer any more has kept to itself."""
    if ids.ndim > 1:
        return [_payloads(row, where, records) for row, where in zip(ids, shards, strict=True)]
    known = [records.get(id) if shard >= 0 else None for id, shard in zip(ids.tolist(), shards.tolist(), strict=True)]
    return [None if record is None else record.payload for record in known]


def _as_cursor(after: Any) -> tuple[int, str | None]:
    """The shard that a page went into, and the id up to which; None: not yet begun with it.

    Raises:
        ValueError: it is not the `after` of a page.
    """
    number, slash, id_ = after.partition("/") if isinstance(after, str) else ("", "", "")
    if not slash or not number.isdecimal() or not number.isascii():
        raise ValueError(f"after must be None or the `after` of an earlier page, got {after!r}")
    return int(number), id_ or None


def _warn(answers: Mapping[int, Answer]) -> None:
    """What one shard would warn of for want of such rows holds for all only when all that have rows say so."""
    told = [set(answer.warnings) for answer in answers.values() if answer.rows]
    for warning in dict.fromkeys(warning for answer in answers.values() for warning in answer.warnings):
        message, category = warning
        if not is_of_rows(category):
            warn_caller(message, category)
    if told and all(any(is_of_rows(category) for _, category in each) for each in told):
        first = next(warning for warning in sorted(told[0], key=str) if is_of_rows(warning[1]))
        warn_caller(*first)
