"""All rows within a radius of a query by their codes, however many they are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias, cast

import numpy as np
import numpy.typing as npt

from pqstore.arrays import F32, I64
from pqstore.index.reading import Reading
from pqstore.index.selection.selection import Selection
from pqstore.kernels import CodeChunk

__all__ = ["Within", "rows_within"]

_GROUP = 64  # queries whose tables are held at a time, so that codes are unpacked once for all of them

Within: TypeAlias = tuple[F32, I64]
"""Distances and rows, in no order."""


def rows_within(
    reading: Reading, queries: F32, radius: float, threads: int, selection: Selection | None
) -> list[Within]:
    """All rows within the radius by their codes."""
    within: list[Within] = []
    larger_is_nearer = reading.space.larger_is_nearer
    for start in range(0, len(queries), _GROUP):
        # Distances of dot and cosine are negated: least is nearest.
        scorers = reading.space.scorers(queries[start : start + _GROUP], threads)
        limit = -radius if larger_is_nearer else radius
        pieces: list[list[Within]] = [[] for _ in scorers]
        for rows, codes in _codes(reading, selection):
            for q, score in enumerate(scorers):
                distances = score(codes)
                inside = np.flatnonzero(distances <= limit)
                pieces[q].append((distances[inside], rows[inside]))
        for parts in pieces:
            distances = np.concatenate([part[0] for part in parts] or [np.empty(0, np.float32)])
            rows = np.concatenate([part[1] for part in parts] or [np.empty(0, np.int64)])
            within.append((-distances if larger_is_nearer else distances, rows))
    return within


def _codes(reading: Reading, selection: Selection | None) -> Iterator[tuple[I64, npt.NDArray[Any]]]:
    """(rows, stored labels) of all allowed live rows, in pieces of at most a segment."""
    if selection is not None and selection.gathers(reading):
        rows = selection.rows()
        if len(rows):
            yield rows, selection.codes(reading)
        return
    chunks: Any = reading.snapshot.chunks() if selection is None else selection.chunks(reading)
    for chunk in cast(Sequence[CodeChunk], chunks):
        codes = reading.space.unpack(chunk.packed, chunk.rows)
        rows = np.arange(chunk.first_row, chunk.first_row + chunk.rows, dtype=np.int64)
        if chunk.dead is not None:
            live = np.unpackbits(chunk.dead, count=chunk.rows, bitorder="little") == 0
            rows, codes = rows[live], codes[live]
        yield rows, codes
