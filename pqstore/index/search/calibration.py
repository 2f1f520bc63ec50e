"""How much of an index a recall needs, candidates and rows of lists: measured on sample queries, kept with it."""

from __future__ import annotations

import math
import numbers
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple, cast

from pqstore.errors import CorruptIndexError
from pqstore.index.reading import Reading
from pqstore.storage import Snapshot, WriteTransaction

__all__ = ["Calibration", "Effort", "calibrated_rerank", "calibrated_scan", "effort_for", "keep_calibration"]
__all__ += ["kept_calibration"]

# Rows that a recall takes grow with this power of all rows as long as partitions stay as they are (benchmarks/search/
# lists.py, "drift"), and with the square root where they were made anew since: then there are more of them.
_GROWTH = 0.9
_NOTE = "calibration"
_NEVER = "needs a calibration: call index.calibrate(sample_queries) once"


class Effort(NamedTuple):
    """What it takes to reach a recall."""

    recall: float
    rerank: int | None
    """Candidates a query; None: none are scored by originals, of which there are none."""
    scan: int | None
    """Rows of lists a query; None: there were no lists."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """What `Index.calibrate` found."""

    recall: float
    """The recall asked for, of the `k` nearest."""
    k: int
    rerank: int
    """Candidates a query that reach it; the most that were tried, where none did. `k` where there are no originals."""
    reached: float
    """Recall with that many, over the sample."""
    queries: int
    vectors: int
    """How many vectors the index had then."""
    scan: int | None = None
    """Rows of lists a query that reach it, with so many candidates; None: the index had no lists."""
    worst: float | None = None
    """Recall of the worst tenth of the queries, where there were lists."""
    efforts: tuple[Effort, ...] = ()
    """What other recalls take, for `search(recall=...)`; ascending."""


def keep_calibration(txn: WriteTransaction, calibration: Calibration) -> None:
    """Store it with the index."""
    txn.set_note(_NOTE, {**asdict(calibration), "efforts": [list(effort) for effort in calibration.efforts]})


def calibrated_rerank(reading: Reading, k: int) -> int:
    """Candidates for the k nearest: as calibrated, in proportion for another k.

    Raises:
        ValueError: the index was never calibrated.
    """
    calibration = kept_calibration(reading.snapshot)
    if calibration is None:
        raise ValueError(f"rerank='auto' {_NEVER}")
    return _in_proportion(calibration.rerank, k, calibration)


def calibrated_scan(reading: Reading) -> int | None:
    """Rows of lists that a search reads: as calibrated; more when the index has grown. None: that
    was never measured."""
    calibration = kept_calibration(reading.snapshot)
    if calibration is None or calibration.scan is None:
        return None
    return _grown(calibration.scan, reading, calibration)


def effort_for(reading: Reading, recall: Any, k: int) -> tuple[int | None, int | None]:
    """(candidates, rows of lists) for a recall of the k nearest. All that was measured, where that is less. The last
    answer is kept with the state.

    Raises:
        TypeError, ValueError: it is no recall, or the index was never calibrated.
    """
    known = reading.kept.get("effort")
    if type(recall) is float and known is not None and known[0] == (recall, k):
        return cast(tuple["int | None", "int | None"], known[1])
    if isinstance(recall, bool) or not isinstance(recall, numbers.Real):
        raise TypeError(f"recall must be a number above 0 and at most 1, got {recall!r}")
    share = float(recall)
    if not 0 < share <= 1:
        raise ValueError(f"recall must be above 0 and at most 1, got {recall!r}")
    calibration = kept_calibration(reading.snapshot)
    if calibration is None or not calibration.efforts:
        raise ValueError(f"recall={recall!r} {_NEVER}")
    enough = [effort for effort in calibration.efforts if effort.recall >= share]
    effort = enough[0] if enough else calibration.efforts[-1]
    rerank = None if effort.rerank is None else _in_proportion(effort.rerank, k, calibration)
    found = rerank, None if effort.scan is None else _grown(effort.scan, reading, calibration)
    reading.kept["effort"] = (share, k), found
    return found


def _in_proportion(candidates: int, k: int, calibration: Calibration) -> int:
    with_k = calibration.k
    try:
        return max(k, -(-candidates * k // with_k))
    except (TypeError, ZeroDivisionError) as error:
        raise CorruptIndexError(f"catalog: the calibration cannot be read ({error})") from error


def _grown(scan: int, reading: Reading, calibration: Calibration) -> int:
    try:
        then, now = calibration.vectors, reading.snapshot.live_rows
        trained = min(max(then, _trained_rows(reading)), max(then, now))
        return max(1, int(scan * math.sqrt(trained / then) * max(1.0, now / trained) ** _GROWTH))
    except (TypeError, ZeroDivisionError, ValueError, OverflowError) as error:
        raise CorruptIndexError(f"catalog: the calibration cannot be read ({error})") from error


def _trained_rows(reading: Reading) -> int:
    """How many rows there were when the partitions were trained; 0 where nothing can say."""
    with suppress(CorruptIndexError):  # which the search of the lists tells
        state = reading.snapshot.records.lists
        if state is not None and state.current is not None:
            return state.current.trained
    return 0


def kept_calibration(state: Snapshot) -> Calibration | None:
    """What was stored last; None: nothing.

    Raises:
        CorruptIndexError: it is no calibration.
    """
    known: tuple[Calibration | None] | None = state.memo.get(_NOTE)
    if known is None:
        known = state.memo[_NOTE] = (_read(state.catalog.notes.get(_NOTE)),)
    return known[0]


def _read(note: Any) -> Calibration | None:
    try:
        if note is None:
            return None
        found = Calibration(**note)
        return replace(found, efforts=tuple(Effort(*effort) for effort in found.efforts))
    except TypeError as error:
        raise CorruptIndexError(f"catalog: the calibration cannot be read ({error})") from error
