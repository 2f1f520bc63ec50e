"""Measuring how much of an index a recall needs: candidates to re-rank, and rows of lists to read."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pqstore.arrays import F32, I64
from pqstore.errors import FewQueriesWarning
from pqstore.index.arguments.counts import as_count, check_results
from pqstore.index.reading import Reading
from pqstore.index.recall.list_needs import rows_before
from pqstore.index.recall.measuring import originals_for
from pqstore.index.search.calibration import Calibration, Effort
from pqstore.index.search.exact import exact_rows
from pqstore.index.search.nearest import nearest_rows
from pqstore.index.selection.searchable import count_searchable, select_searchable
from pqstore.kernels import resolve_threads
from pqstore.quantizer import as_queries
from pqstore.warning import warn_caller

__all__ = ["measure_calibration"]


_MOST_CANDIDATES = 4096
_TARGETS = (0.8, 0.9, 0.95, 0.98, 0.99)
_BUDGETS = 200  # that are tried
# Nanoseconds, about: a row of a list read, a candidate scored by its original.
_ROW_COST, _CANDIDATE_COST = 2.0, 120.0
_SURE = 0.03  # how far from the truth a recall may be, in 19 of 20 samples


class _Needs(NamedTuple):
    """What must be read for each true neighbour of each query, (n, k) each."""

    places: I64
    """Its place among the nearest by codes: more candidates than this find it."""
    most: int
    """The place of one that is not among them."""
    before: I64 | None
    """Rows of lists before its list: more rows than this find it. None: there are no lists."""


def measure_calibration(reading: Reading, queries: Any, recall: float, k: int, threads: int | None) -> Calibration:
    """The least work that reaches a recall; see `pqstore.Index.calibrate`."""
    k = as_count(k, "k")
    if not 0 < recall <= 1:
        raise ValueError(f"recall must be above 0 and at most 1, got {recall!r}")
    batch, _ = as_queries(queries, reading.space.D)
    vectors = count_searchable(reading)
    needs = _needs(reading, batch, k, resolve_threads(threads))
    k = needs.places.shape[1]
    effort, found = _least_effort(needs, recall, k)
    efforts = {target: _least_effort(needs, target, k)[0] for target in (*_TARGETS, recall)}
    has_originals = reading.space.originals is not None
    kept = tuple(
        efforts[target] if has_originals else efforts[target]._replace(rerank=None) for target in sorted(efforts)
    )
    share = found.mean(axis=1)
    worst = None
    if needs.before is not None:
        worst = float(np.sort(share)[: max(1, len(share) // 10)].mean())
        _warn_of_few(share)
    assert effort.rerank is not None, "known until it is kept"
    return Calibration(recall, k, effort.rerank, float(share.mean()), len(batch), vectors, effort.scan, worst, kept)


def _needs(reading: Reading, batch: F32, k: int, threads: int) -> _Needs:
    vectors = count_searchable(reading)
    k = min(k, vectors)
    has_lists = rows_before(reading, batch[:0], np.empty((0, k), dtype=np.int64), 1) is not None
    if not has_lists:
        originals_for(reading, "calibrate")
    if len(batch) == 0 or k == 0:
        raise ValueError("a calibration needs at least one query and one vector")
    if reading.space.originals is None:  # then the nearest by codes are what there is to be found
        _, truth = nearest_rows(reading, batch, k, threads, select_searchable(reading))
        return _Needs(np.zeros_like(truth), 1, rows_before(reading, batch, truth, threads))
    most = min(vectors, max(_MOST_CANDIDATES, k))
    check_results(len(batch), most, "k")
    _, truth = exact_rows(reading, batch, k, threads)
    _, rows = nearest_rows(reading, batch, most, threads, select_searchable(reading))
    return _Needs(_places(rows, truth), most, rows_before(reading, batch, truth, threads))


def _least_effort(needs: _Needs, recall: float, k: int) -> tuple[Effort, npt.NDArray[np.bool_]]:
    """The cheapest pair of candidates and rows that reaches a recall, or all of both; and which are found (n, k)."""
    wanted = max(1, math.ceil(recall * needs.places.size - 1e-9))
    best: tuple[float, int, int | None] | None = None
    for budget in _budgets(needs.before):
        reachable = needs.places[needs.places < needs.most if budget is None else _read(needs, budget)]
        if len(reachable) >= wanted:
            rerank = max(k, int(np.partition(reachable, wanted - 1)[wanted - 1]) + 1)
            cost = _ROW_COST * (budget or 0) + _CANDIDATE_COST * rerank
            if best is None or cost < best[0]:
                best = cost, rerank, budget
    if best is None:
        best = 0.0, max(k, needs.most), _budgets(needs.before)[-1]
    _, rerank, budget = best
    found = needs.places < min(rerank, needs.most)
    if budget is not None:
        found &= _read(needs, budget)
    return Effort(recall, rerank, budget), found


def _budgets(before: I64 | None) -> list[int | None]:
    """Numbers of rows worth trying, ascending."""
    if before is None:
        return [None]
    enough = np.sort(np.maximum(before.reshape(-1), 0) + 1)
    return list(dict.fromkeys(enough[np.linspace(0, len(enough) - 1, _BUDGETS).astype(int)].tolist()))


def _read(needs: _Needs, budget: int) -> npt.NDArray[np.bool_]:
    """Which true neighbours are found by codes, and lie in lists that are read."""
    assert needs.before is not None
    found: npt.NDArray[np.bool_] = (needs.places < needs.most) & (needs.before < budget)
    return found


def _warn_of_few(share: npt.NDArray[np.float64]) -> None:
    """Say how far off a calibration by these queries may be."""
    off = 1.96 * max(float(share.std(ddof=1)) if len(share) > 1 else 0.5, 0.05) / math.sqrt(len(share))
    if off > _SURE:
        warn_caller(
            f"calibrated on {len(share)} queries: the recall of others may differ by {off:.3f} and more; give a few "
            "hundred queries as they will come",
            FewQueriesWarning,
        )


def _places(rows: I64, truth: I64) -> I64:
    """Where each true neighbour stands in `rows` (n, most): int64, shaped as `truth`; `most` when it is not there."""
    most = rows.shape[1]
    places = np.full(truth.shape, most, dtype=np.int64)
    for mine, true, place in zip(rows, truth, places, strict=True):
        order = np.argsort(mine)
        spot = np.minimum(np.searchsorted(mine, true, sorter=order), most - 1)
        hit = mine[order[spot]] == true
        place[hit] = order[spot][hit]
    return places
