"""How many candidates a recall needs: measured on sample queries, kept with the index."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from pqstore.errors import CorruptIndexError
from pqstore.index.reading import Reading
from pqstore.storage import Snapshot, WriteTransaction

__all__ = ["Calibration", "calibrated_rerank", "keep_calibration", "kept_calibration"]

_NOTE = "calibration"


@dataclass(frozen=True, slots=True)
class Calibration:
    """What `Index.calibrate` found."""

    recall: float
    """The recall asked for, of the `k` nearest."""
    k: int
    rerank: int
    """Candidates a query that reach it; the most that were tried, where none did."""
    reached: float
    """Recall with that many, over the sample."""
    queries: int
    vectors: int
    """How many vectors the index had then."""


def keep_calibration(txn: WriteTransaction, calibration: Calibration) -> None:
    """Store it with the index."""
    txn.set_note(_NOTE, asdict(calibration))


def calibrated_rerank(reading: Reading, k: int) -> int:
    """Candidates for the k nearest: as calibrated, in proportion for another k.

    Raises:
        ValueError: the index was never calibrated.
    """
    calibration = kept_calibration(reading.snapshot)
    if calibration is None:
        raise ValueError("rerank='auto' needs a calibration: call index.calibrate(sample_queries) once")
    try:
        return max(k, -(-calibration.rerank * k // calibration.k))
    except (TypeError, ZeroDivisionError) as error:
        raise CorruptIndexError(f"catalog: the calibration cannot be read ({error})") from error


def kept_calibration(state: Snapshot) -> Calibration | None:
    """What was stored last; None: nothing.

    Raises:
        CorruptIndexError: it is no calibration.
    """
    note: Any = state.catalog.notes.get(_NOTE)
    try:
        return None if note is None else Calibration(**note)
    except TypeError as error:
        raise CorruptIndexError(f"catalog: the calibration cannot be read ({error})") from error
