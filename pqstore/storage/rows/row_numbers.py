"""Row numbers: row = segment * segment_rows + position."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

import numpy as np

from pqstore.arrays import I64

__all__ = ["Where", "by_segment", "contiguous"]

Where: TypeAlias = "slice | I64"


def contiguous(first: int, count: int) -> I64:
    """`count` rows from `first` on."""
    return np.arange(first, first + count, dtype=np.int64)


def by_segment(rows: I64, segment_rows: int) -> Iterator[tuple[int, Where, I64]]:
    """For every segment that occurs in `rows`: (segment, where its rows are in `rows`, their positions in it)."""
    if len(rows) == 0:
        return
    segments = rows // segment_rows
    positions = rows - segments * segment_rows
    lowest, highest = int(segments.min()), int(segments.max())
    if lowest == highest:
        yield lowest, slice(0, len(rows)), positions
        return
    order = None
    if np.any(segments[1:] < segments[:-1]):
        # 16-bit keys take NumPy's radix sort
        keys = (segments - lowest).astype(np.uint16) if highest - lowest < 65_536 else segments
        order = np.argsort(keys, kind="stable")
        segments, positions = segments[order], positions[order]
    bounds = np.concatenate(([0], np.flatnonzero(segments[1:] != segments[:-1]) + 1, [len(rows)]))
    for start, stop in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        where = slice(start, stop) if order is None else order[start:stop]
        yield int(segments[start]), where, positions[start:stop]
