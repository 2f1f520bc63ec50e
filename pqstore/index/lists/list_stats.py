"""What an index says of its lists."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pqstore.errors import CorruptIndexError
from pqstore.index.lists.partitioning import automatic_partitions
from pqstore.storage import ListReads, Snapshot, SnapshotLists

__all__ = ["ListStats"]

_GROWN, _UNEVEN = 8, 2.5


@dataclass(frozen=True, slots=True)
class ListStats:
    """Inverted lists of an index."""

    partitions: int
    runs: int
    """Pieces that each list lies in; merges and `compact` make them fewer."""
    listed_rows: int
    """Rows in lists, dead ones too."""
    dead_rows: int
    """How many of them are dead; they go when runs are merged."""
    flat_rows: int
    """Rows that are in no list yet, which every search reads."""
    imbalance: float
    """How uneven lists are: 1 where all are of one size, n where rows lie in lists n times as long as the mean."""
    trained_rows: int
    """Vectors that the index had when the partitions were trained."""
    advice: str | None
    """What would make searches quicker; None: nothing."""

    @classmethod
    def of(cls, snapshot: Snapshot, metric: str) -> ListStats | None:
        """Those of a state; None where it has no lists."""
        state = SnapshotLists(snapshot)
        try:
            reads = state.read()
        except CorruptIndexError:  # which searches and `verify` tell
            reads = None
        if reads is None:
            return None
        lists, dead = reads.lists, state.dead_in_lists()
        imbalance = _imbalance(reads)
        return cls(
            lists.partitions,
            len(lists.runs),
            lists.rows,
            dead,
            snapshot.total_rows - state.covered_rows(),
            imbalance,
            lists.trained,
            _advice(snapshot.live_rows, lists.trained, imbalance, metric),
        )


def _imbalance(reads: ListReads) -> float:
    sizes = np.zeros(reads.lists.partitions, dtype=np.float64)
    for run in reads.runs:
        sizes += np.diff(run.offsets.astype(np.float64))
    rows = sizes.sum()
    return float(len(sizes) * (sizes @ sizes) / rows**2) if rows else 1.0


def _advice(rows: int, trained: int, imbalance: float, metric: str) -> str | None:
    if rows > _GROWN * trained:
        return (
            f"the index has grown from {trained:,} to {rows:,} vectors since its partitions were trained: call "
            f"partition() again, which would make {automatic_partitions(rows):,}"
        )
    if imbalance > _UNEVEN and metric != "dot":  # short vectors crowd where lengths count
        return f"lists are uneven ({imbalance:.1f} times): vectors have changed; partition() again makes them anew"
    return None
