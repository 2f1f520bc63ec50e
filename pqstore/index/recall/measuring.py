"""Recall of an index against exact search over its originals."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from pqstore.arrays import F32, I64
from pqstore.errors import NotTrainedError
from pqstore.index.arguments.counts import as_count, check_results
from pqstore.index.lists.prepared import prepared_lists
from pqstore.index.reading import Reading
from pqstore.index.recall.report import RecallReport, RecallRow
from pqstore.index.recall.share import recall_at
from pqstore.index.search.exact import exact_rows
from pqstore.index.search.nearest import nearest_rows
from pqstore.index.search.probe import as_probe
from pqstore.index.search.question import Question
from pqstore.index.search.top_k import search
from pqstore.index.selection.searchable import count_searchable, select_searchable
from pqstore.kernels import OriginalFormat, resolve_threads
from pqstore.quantizer import as_queries

__all__ = ["originals_for", "recall_report"]


_CUTS = (1, 10, 100)
_OF_ROOT = (2, 4, 8, 16, 24, 32, 48, 64, 96)  # rows of lists, over the root of all of them
# Queries searched alone to be timed.
_TIMED = 50


def recall_report(
    reading: Reading, queries: Any, rerank: Sequence[int], threads: int | None, scan: Any = None
) -> RecallReport:
    """See `pqstore.Index.recall_report`."""
    scans, vectors = _as_scans(reading, scan), count_searchable(reading)
    originals = None if scans and reading.space.originals is None else originals_for(reading, "recall_report")
    batch, _ = as_queries(queries, reading.space.D)
    cuts = [k for k in _CUTS if k <= vectors] or [max(1, vectors)]
    if len(batch) == 0 or vectors == 0:
        raise ValueError("a recall report needs at least one query and one vector")
    counts = sorted({as_count(count, "rerank") for count in rerank}) if originals is not None else []
    check_results(len(batch), min(max([cuts[-1], *counts]), vectors), "rerank")
    started = time.perf_counter()
    if originals is None:
        _, truth = nearest_rows(reading, batch, cuts[-1], resolve_threads(threads), select_searchable(reading))
    else:
        _, truth = exact_rows(reading, batch, cuts[-1], resolve_threads(threads))
    exact_ms = (time.perf_counter() - started) * 1e3 / len(batch)
    return RecallReport(
        vectors=vectors,
        queries=len(batch),
        originals="" if originals is None else originals.kind,
        code_bytes=reading.space.code_bytes,
        original_bytes=0 if originals is None else originals.row_bytes,
        exact_milliseconds=exact_ms,
        rows=tuple(
            _measured(reading, batch, truth, cuts, count, threads, rows)
            for rows in (*scans, None)
            for count in (None, *counts)
        ),
    )


def _as_scans(reading: Reading, scan: Any) -> list[int]:
    """Numbers of rows of lists to try, ascending.

    Raises:
        TypeError, ValueError: it is none, or there are no lists.
    """
    if scan is None:
        return []
    lists = None if reading.space.phase == "exact" else prepared_lists(reading)
    if lists is None:
        raise ValueError("scan says how much of the lists to read, and this index has none: call partition()")
    rows = max(1, lists.reads.lists.rows)
    if isinstance(scan, str):
        if scan != "auto":
            raise ValueError(f"scan must be numbers of rows, 'auto' or None, got {scan!r}")
        return [count for of_root in _OF_ROOT if 0 < (count := int(of_root * math.sqrt(rows))) < rows]
    if isinstance(scan, bool):
        raise TypeError("scan must be numbers of rows, 'auto' or None, got a bool")
    counts = [scan] if isinstance(scan, (int, np.integer)) else scan
    most = reading.snapshot.total_rows
    return sorted({min(as_count(count, "scan"), most) for count in counts})


def _measured(
    reading: Reading,
    queries: F32,
    truth: I64,
    cuts: Sequence[int],
    rerank: int | None,
    threads: int | None,
    scan: int | None,
) -> RecallRow:
    """Recall at each of `cuts`, time and bytes of searches that re-rank so many candidates."""
    selection = select_searchable(reading)
    recall, originals, read = {}, reading.space.originals, float(reading.snapshot.total_rows)
    for k in cuts:
        candidates = min(max(k, rerank or k), count_searchable(reading))
        probe = None if scan is None else as_probe(reading, None, scan, candidates, selection)
        _, rows = nearest_rows(reading, queries, candidates, resolve_threads(threads), selection, probe)
        if probe is not None:
            plan = probe.plan()
            read = plan.rows_read + plan.flat_rows
        # Exact scores put every true neighbour among the candidates in its place; fewer than k cannot be asked for.
        recall[k] = float("nan") if rerank is not None and rerank < k else recall_at(k, rows, truth, candidates)
    k = min(10, cuts[-1])
    question = Question(k, threads, rerank and max(rerank, k), nprobe="all" if scan is None else None, scan=scan)
    if reading.space.training is not None and rerank is None:
        question = question._replace(rerank=0)
    bytes_read = int(read * reading.space.code_bytes) + (rerank or 0) * (originals.row_bytes if originals else 0)
    return RecallRow(rerank, recall, _milliseconds(reading, queries[:_TIMED], question), bytes_read, scan)


def _milliseconds(reading: Reading, queries: F32, question: Question) -> float:
    """Of a query searched alone: the median."""
    times = []
    for query in queries:
        begin = time.perf_counter()
        search(reading, query, question)
        times.append(time.perf_counter() - begin)
    return float(np.median(times)) * 1e3


def originals_for(reading: Reading, what: str) -> OriginalFormat:
    """The originals of the index, for the method `what`.

    Raises:
        ValueError: it stores none. NotTrainedError: it stores nothing else yet.
    """
    if reading.space.phase == "exact":
        raise NotTrainedError(f"{what} measures codes; the index has none before it is trained, and searches are exact")
    if reading.space.originals is None:
        raise ValueError(
            f"{what} compares with the original vectors, which this index does not store: create it with "
            "originals='float16'"
        )
    return reading.space.originals
