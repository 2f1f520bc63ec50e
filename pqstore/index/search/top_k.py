"""Top-k search over a snapshot: arguments, tables, scan or gather, exact scores, rows to ids."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, cast

import numpy as np

from pqstore.arrays import F32, I64
from pqstore.index.arguments.ids import IdArray, IdType
from pqstore.index.code_space import CodeSpace
from pqstore.index.search.calibration import calibrated_rerank
from pqstore.index.search.rerank import ExactScorer
from pqstore.index.search.results import SearchHits, SearchPlan, SearchResult
from pqstore.index.selection.select import Selection, select
from pqstore.kernels import CodeChunk, resolve_threads
from pqstore.quantizer import as_queries
from pqstore.storage import Snapshot

__all__ = [
    "Question",
    "as_count",
    "as_include",
    "as_rerank",
    "gathers",
    "nearest_rows",
    "original_vectors",
    "search",
]


# With at most one row of so many allowed, fetching codes is quicker than scanning (benchmarks/answers_filters.py),
# above all for a filter that is used again: its codes are kept, up to so many bytes.
_GATHER_COST = 20
_GATHER_BYTES = 8 << 20
_INCLUDABLE = ("payload", "vector")
_FLOAT32 = np.dtype(np.float32)


class Question(NamedTuple):
    """What a search is asked beyond its queries; arguments as of `pqstore.Index.search`."""

    k: Any = 10
    threads: int | None = None
    rerank: Any = None
    where: Any = None
    allow: Any = None
    deny: Any = None
    include: Any = ()
    explain: bool = False

    @property
    def is_filtered(self) -> bool:
        return self.where is not None or self.allow is not None or self.deny is not None

    @property
    def is_for_ids(self) -> bool:
        """Whether the nearest by codes are all that is asked for."""
        return self.rerank is None and self.include == () and not self.explain


def search(snapshot: Snapshot, space: CodeSpace, id_type: IdType, queries: Any, question: Question) -> SearchResult:
    """Check the arguments, then search; see `pqstore.Index.search`."""
    k = as_count(question.k, "k")
    threads = resolve_threads(question.threads)
    batch, single = _as_queries(queries, space)
    include: frozenset[str] = frozenset()
    rerank = selection = None
    if not question.is_for_ids:
        include = as_include(question.include)
        rerank = as_rerank(snapshot, space, question.rerank, k)
    if question.is_filtered:
        selection = select(snapshot, id_type, question.where, question.allow, question.deny)
    distances, rows = nearest_rows(snapshot, space, batch, rerank or k, threads, selection)
    if rerank is not None:
        assert space.originals is not None
        distances, rows = ExactScorer(snapshot, space.originals, space.metric, batch).best(rows, k)
    if single:
        distances, rows = distances[0], rows[0]
    ids: IdArray = snapshot.ids_of(rows)
    if not include and not question.explain:
        return SearchResult(ids, distances)
    hits = SearchHits(ids, distances)
    if "payload" in include:
        hits.payloads = _payloads(snapshot, rows)
    if "vector" in include:
        hits.vectors = _vectors(snapshot, space, rows)
    if question.explain:
        hits.plan = _explain(snapshot, space, selection, rerank)
    return hits


# -- arguments -------------------------------------------------------------------------------------------------------


def _as_queries(queries: Any, space: CodeSpace) -> tuple[F32, bool]:
    """Queries float32 (n, D), and whether a single vector came. Values are looked at when their tables are made, where
    that finds one that is not finite."""
    if type(queries) is np.ndarray and queries.dtype == _FLOAT32 and space.takes_queries:
        if queries.shape == (space.D,):
            return queries[None], True
        if queries.ndim == 2 and queries.shape[1] == space.D:
            return queries, False
    return as_queries(queries, space.D)


def as_count(value: Any, name: str) -> int:
    """A whole number of at least 1."""
    try:
        count = operator.index(value)
    except TypeError as error:
        raise TypeError(f"{name} must be an integer, got {type(value).__name__}") from error
    if count < 1:
        raise ValueError(f"{name} must be at least 1, got {count}")
    return count


def as_rerank(snapshot: Snapshot, space: CodeSpace, rerank: Any, k: int) -> int | None:
    """How many candidates are scored exactly; None: none."""
    if rerank is None:
        return None
    if space.originals is None:
        raise ValueError(
            "rerank needs the original vectors, which this index does not store: create it with originals='float16'"
        )
    if isinstance(rerank, str):
        if rerank != "auto":
            raise ValueError(f"rerank must be a number, 'auto' or None, got {rerank!r}")
        return calibrated_rerank(snapshot, k)
    if isinstance(rerank, bool):
        raise TypeError("rerank is the number of candidates to score exactly, or 'auto': got a bool")
    count = as_count(rerank, "rerank")
    if count < k:
        raise ValueError(f"rerank must be at least k = {k}, got {count}: the k best come from the reranked ones")
    return count


def as_include(include: Any) -> frozenset[str]:
    if include == ():
        return frozenset()
    names = (include,) if isinstance(include, str) else include
    if not isinstance(names, Iterable):
        raise TypeError(f"include must be a sequence of names, got {type(include).__name__}")
    chosen = frozenset(names)
    if not chosen <= set(_INCLUDABLE):
        raise ValueError(f"include may name {', '.join(_INCLUDABLE)}, got {sorted(map(str, chosen))}")
    return chosen


# -- rows ------------------------------------------------------------------------------------------------------------


def nearest_rows(
    snapshot: Snapshot, space: CodeSpace, queries: F32, k: int, threads: int, selection: Selection | None
) -> tuple[F32, I64]:
    """The k nearest by codes: distances float32 (n, k), in the sign of the metric, and rows int64 (n, k), padded."""
    if selection is None:
        return space.search(queries, _prepared(snapshot, space), k, threads)
    if not gathers(snapshot, space, selection):
        return space.search(queries, selection.prepared(snapshot, space), k, threads)
    distances, places = space.search(queries, selection.gathered(snapshot, space), k, threads)
    return distances, selection.rows_at(places)


def _prepared(snapshot: Snapshot, space: CodeSpace) -> Any:
    """All rows of this state, ready to be searched; made once a state."""
    prepared = snapshot.memo.get("prepared")
    if prepared is None:
        # The same fields, named in the room that each belongs to.
        prepared = space.searcher.prepare(cast(Sequence[CodeChunk], snapshot.chunks()))
        snapshot.memo["prepared"] = prepared
    return prepared


def gathers(snapshot: Snapshot, space: CodeSpace, selection: Selection) -> bool:
    """Whether so few rows are allowed that their codes are better fetched one by one."""
    if selection.gathers is None:
        few = selection.count * _GATHER_COST <= snapshot.total_rows
        selection.gathers = few and selection.count * space.M <= _GATHER_BYTES
    return selection.gathers


# -- answers ---------------------------------------------------------------------------------------------------------


def original_vectors(snapshot: Snapshot, space: CodeSpace, rows: I64) -> F32:
    """Vectors of rows that exist, float32 (n, D): originals where they are stored, else decoded from codes."""
    if space.originals is not None:
        return space.originals.decode(snapshot.originals_of(rows))
    return space.quantizer.decode(space.from_stored(snapshot.codes_of(rows)))


def _payloads(snapshot: Snapshot, rows: I64) -> list[Any]:
    if rows.ndim > 1:
        return [_payloads(snapshot, part) for part in rows]
    known = iter(snapshot.payloads_of(rows[rows >= 0]))
    return [next(known) if row >= 0 else None for row in rows.tolist()]


def _vectors(snapshot: Snapshot, space: CodeSpace, rows: I64) -> F32:
    vectors = np.full((*rows.shape, space.D), np.nan, dtype=np.float32)
    vectors[rows >= 0] = original_vectors(snapshot, space, rows[rows >= 0])
    return vectors


def _explain(snapshot: Snapshot, space: CodeSpace, selection: Selection | None, rerank: int | None) -> SearchPlan:
    chunks = len(snapshot.chunks())
    if selection is None:
        return SearchPlan("scan", snapshot.total_rows, snapshot.live_rows, chunks, 0, (), (), 0, rerank)
    method = "gather" if gathers(snapshot, space, selection) else "masked scan"
    read = len(selection.masks)
    return SearchPlan(
        method=method if selection.count else "empty",
        stored_rows=snapshot.total_rows,
        allowed_rows=selection.count,
        chunks_read=read,
        chunks_skipped=chunks - read,
        indexed_fields=selection.indexed,
        scanned_fields=selection.scanned,
        payloads_read=selection.payloads_read,
        rerank=rerank,
    )
