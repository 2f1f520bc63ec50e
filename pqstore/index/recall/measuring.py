"""Recall of an index against exact search over its originals."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pqstore.arrays import I64
from pqstore.index.arguments.ids import IdType
from pqstore.index.code_space import CodeSpace
from pqstore.index.search.calibration import Calibration
from pqstore.index.search.exact import exact_rows
from pqstore.index.search.top_k import Question, as_count, nearest_rows, search
from pqstore.kernels import resolve_threads
from pqstore.quantizer import as_queries
from pqstore.storage import Snapshot

__all__ = ["RecallReport", "RecallRow", "measure_calibration", "recall_report"]


_CUTS = (1, 10, 100)
_MOST_CANDIDATES = 4096


@dataclass(frozen=True, slots=True)
class RecallRow:
    """One way of searching."""

    rerank: int | None
    recall: dict[int, float]
    """k -> mean share of the exact k nearest among the first k found; NaN where rerank is below k."""
    milliseconds: float
    """Of a query searched alone, k = 10: the median."""
    bytes_read: int
    """Of codes and originals for a query, pages not counted."""


@dataclass(frozen=True, slots=True)
class RecallReport:
    """Recall, time and bytes of an index; its text is a table."""

    vectors: int
    queries: int
    originals: str
    code_bytes: int
    """Of one vector."""
    original_bytes: int
    """Of one vector."""
    exact_milliseconds: float
    """Of a query by exact search, all of them at once."""
    rows: tuple[RecallRow, ...]

    def __str__(self) -> str:
        cuts = list(self.rows[0].recall) if self.rows else []
        lines = [
            f"{self.vectors:,} vectors of {self.code_bytes} bytes of code, {self.original_bytes} of {self.originals}; "
            f"{self.queries} queries against exact search ({self.exact_milliseconds:.1f} ms a query)",
            f"{'rerank':>8} " + " ".join(f"{f'recall@{k}':>11}" for k in cuts) + f" {'ms':>8} {'bytes read':>12}",
        ]
        lines += [
            f"{row.rerank or 'none':>8} "
            + " ".join(f"{_share(row.recall[k]):>11}" for k in cuts)
            + f" {row.milliseconds:>8.2f} {row.bytes_read:>12,}"
            for row in self.rows
        ]
        return "\n".join(lines)


def recall_report(
    snapshot: Snapshot, space: CodeSpace, id_type: IdType, queries: Any, rerank: Sequence[int], threads: int | None
) -> RecallReport:
    """See `pqstore.Index.recall_report`."""
    originals = _originals_of(space, "recall_report")
    batch, _ = as_queries(queries, space.D)
    cuts = [k for k in _CUTS if k <= snapshot.live_rows] or [max(1, snapshot.live_rows)]
    if len(batch) == 0 or snapshot.live_rows == 0:
        raise ValueError("a recall report needs at least one query and one vector")
    started = time.perf_counter()
    _, truth = exact_rows(snapshot, space, batch, cuts[-1])
    exact_ms = (time.perf_counter() - started) * 1e3 / len(batch)
    code_bytes = space.layout.packed_size(32) // 32
    rows = []
    for count in (None, *sorted({as_count(r, "rerank") for r in rerank})):
        recall = {}
        for k in cuts:
            depth = max(k, count or k)
            _, found = nearest_rows(snapshot, space, batch, depth, resolve_threads(threads), None)
            # Exact scores put every true neighbour among the candidates in its place; fewer than k cannot be asked for.
            beyond = count is not None and count < k
            recall[k] = float("nan") if beyond else _recall(found, truth[:, :k])
        times = []
        for query in batch[:50]:
            begin = time.perf_counter()
            question = Question(k=min(10, cuts[-1]), threads=threads, rerank=count and max(count, min(10, cuts[-1])))
            search(snapshot, space, id_type, query, question)
            times.append(time.perf_counter() - begin)
        read = snapshot.total_rows * code_bytes + (count or 0) * originals.row_bytes
        rows.append(RecallRow(count, recall, float(np.median(times)) * 1e3, read))
    return RecallReport(
        vectors=snapshot.live_rows,
        queries=len(batch),
        originals=originals.kind,
        code_bytes=code_bytes,
        original_bytes=originals.row_bytes,
        exact_milliseconds=exact_ms,
        rows=tuple(rows),
    )


def measure_calibration(
    snapshot: Snapshot, space: CodeSpace, queries: Any, recall: float, k: int, threads: int | None
) -> Calibration:
    """The least number of candidates that reaches a recall; see `pqstore.Index.calibrate`."""
    _originals_of(space, "calibrate")
    k = as_count(k, "k")
    if not 0 < recall <= 1:
        raise ValueError(f"recall must be above 0 and at most 1, got {recall!r}")
    batch, _ = as_queries(queries, space.D)
    k = min(k, snapshot.live_rows)
    if len(batch) == 0 or k == 0:
        raise ValueError("a calibration needs at least one query and one vector")
    _, truth = exact_rows(snapshot, space, batch, k)
    most = min(snapshot.live_rows, max(_MOST_CANDIDATES, k))
    _, found = nearest_rows(snapshot, space, batch, most, resolve_threads(threads), None)
    # places[q, j]: where the j-th true neighbour of query q stands by codes; `most` when beyond
    places = np.full(truth.shape, most, dtype=np.int64)
    for q in range(len(batch)):
        at = np.full(truth.shape[1], most)
        order = np.argsort(found[q])
        spot = np.minimum(np.searchsorted(found[q], truth[q], sorter=order), most - 1)
        hit = found[q][order[spot]] == truth[q]
        at[hit] = order[spot][hit]
        places[q] = at
    reached = np.cumsum(np.bincount(places.reshape(-1), minlength=most + 1)[:most]) / places.size
    enough = np.flatnonzero(reached >= recall - 1e-12)
    rerank = max(k, int(enough[0]) + 1 if len(enough) else most)
    return Calibration(recall, k, rerank, float(reached[rerank - 1]), len(batch), snapshot.live_rows)


def _originals_of(space: CodeSpace, what: str) -> Any:
    if space.originals is None:
        raise ValueError(
            f"{what} compares with the original vectors, which this index does not store: create it with "
            "originals='float16'"
        )
    return space.originals


def _share(recall: float) -> str:
    return "-" if np.isnan(recall) else f"{recall:.3f}"


def _recall(found: I64, truth: I64) -> float:
    return float(np.mean([len(np.intersect1d(f, t)) / len(t) for f, t in zip(found, truth, strict=True)]))
