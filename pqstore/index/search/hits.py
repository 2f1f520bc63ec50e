"""What a search brings with its ids and distances: payloads, vectors, and how it went about its filter."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from pqstore.arrays import F32, I64
from pqstore.index.lists.prepared import prepared_lists
from pqstore.index.reading import Reading
from pqstore.index.search.probe import Probe
from pqstore.index.search.results import SearchPlan
from pqstore.index.selection.selection import Selection
from pqstore.index.unreadable import UnreadablePayloads

__all__ = ["payloads_of_hits", "plan_of", "vectors_of_hits"]


def payloads_of_hits(reading: Reading, rows: I64) -> list[Any]:
    """Payloads in lists shaped as `rows`; None for row -1."""
    if rows.ndim > 1:
        return [payloads_of_hits(reading, part) for part in rows]
    unreadable = UnreadablePayloads(reading.snapshot.ids_of)
    known = iter(reading.snapshot.payloads_of(rows[rows >= 0], unreadable))
    unreadable.warn()
    return [next(known) if row >= 0 else None for row in rows.tolist()]


def vectors_of_hits(reading: Reading, rows: I64) -> F32:
    """Vectors float32 (*rows.shape, D); NaN for row -1."""
    vectors = np.full((*rows.shape, reading.space.D), np.nan, dtype=np.float32)
    vectors[rows >= 0] = reading.vectors_of(rows[rows >= 0])
    return vectors


def plan_of(
    reading: Reading, selection: Selection | None, rerank: int | None, probe: Probe | None = None
) -> SearchPlan:
    """How the search that has this selection was done."""
    plan = replace(_plan_of_scan(reading, selection, rerank), phase=reading.space.phase)
    if probe is None or plan.method == "empty":
        return plan
    return replace(plan, method="lists", chunks_read=0, chunks_skipped=0, lists=probe.plan())


def _plan_of_scan(reading: Reading, selection: Selection | None, rerank: int | None) -> SearchPlan:
    snapshot = reading.snapshot
    if selection is None and prepared_lists(reading) is not None:
        return SearchPlan("scan", snapshot.total_rows, snapshot.live_rows, 0, 0, (), (), 0, rerank)
    chunks = len(snapshot.chunks())
    if selection is None:
        return SearchPlan("scan", snapshot.total_rows, snapshot.live_rows, chunks, 0, (), (), 0, rerank)
    method = "gather" if selection.gathers(reading) else "masked scan"
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
        remarks=_remarks(selection),
    )


def _remarks(selection: Selection) -> tuple[str, ...]:
    unknown = (f"no payload ever had the field {name!r}" for name in selection.unknown)
    return (*selection.complaints, *unknown, *filter(None, [selection.unreadable]))
