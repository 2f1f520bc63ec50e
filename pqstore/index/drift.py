"""Whether the codebook still fits: the error of the newest vectors beside that at training."""

from __future__ import annotations

import numpy as np

from pqstore.index.code_error import mean_error
from pqstore.index.code_space import CodeSpace, Training
from pqstore.index.reading import Reading
from pqstore.index.selection.searchable import lack_vectors, rows_without_vector
from pqstore.log import warning
from pqstore.storage import Store

__all__ = ["MOVED", "NEWEST", "DriftWatch", "drift_of"]

NEWEST = 1000
"""Rows that are looked at."""
MOVED = 1.5
"""Drift from which on the data have moved."""
_GROWTH = 1.1  # how much larger the index is at the next look


def drift_of(reading: Reading) -> float | None:
    """`mean_error` of the 1,000 newest rows that are live, over what it was at training, which leaves them out unless
    the index has hardly grown since. None where it cannot be known."""
    space = reading.space
    if not isinstance(space, CodeSpace) or space.training is None or space.originals is None:
        return None
    rows = reading.snapshot.rows.newest(NEWEST)
    if rows_without_vector(reading) is not None:
        rows = rows[~lack_vectors(reading, rows)]
    if len(rows) == 0 or space.training.error == 0.0:
        return None
    vectors = reading.vectors_of(rows)
    if space.metric == "cosine" and not vectors.any():
        return None
    return float(np.float64(mean_error(space, vectors, 1)) / space.training.error)


class DriftWatch:
    """When one handle looks at the drift of its index, and what it says."""

    def __init__(self) -> None:
        self._training: Training | None = None
        self._next = 0

    def is_due(self, store: Store, training: Training) -> bool:
        """Whether the index has grown by a tenth, and by 1,000 rows at least, since the last look, or since this handle
        has first seen this training: who adds first after it has enough to do."""
        with store.read() as snapshot:
            rows = snapshot.live_rows
        if self._training == training and rows < self._next:
            return False
        seen, self._training = self._training == training, training
        self._next = max(rows + NEWEST, int(rows * _GROWTH))
        return seen

    def has_moved(self, reading: Reading) -> bool:
        """Whether the codebook no longer fits, which is logged."""
        drift = drift_of(reading)
        if drift is None or drift < MOVED:
            return False
        where = reading.snapshot.records.generation.index
        warning("index at %s: drift %.2f: the newest vectors fit its codebook badly; retrain() mends it", where, drift)
        return True
