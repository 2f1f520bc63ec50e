"""Inverted lists as a search sees them: a grid of centroids, runs of rows in order of partition, and what is live."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np

from pqstore.arrays import F32, F64, I64, U8
from pqstore.kernels.chunk import CodeChunk

__all__ = ["I16", "I32", "U32", "AskChunks", "ListGrid", "ListRun", "Lists", "ReadChunk", "list_grid"]

I16 = np.ndarray[Any, np.dtype[np.int16]]
I32 = np.ndarray[Any, np.dtype[np.int32]]
U32 = np.ndarray[Any, np.dtype[np.uint32]]

_WIDTH = 16  # centroids are filled up with zeros to a multiple of so many values
_LARGEST_SUM = 1 << 29  # of products; with half a norm it stays within 32 bits
_ROOM = 1.25  # beyond the largest value of a centroid, for queries farther out
# How much a list's mean squared distance to its centroid counts for its rank: wide lists begin nearer than they lie.
_SPREAD_SHARE = 0.4
_ALL_GROUPS_UP_TO = 1024  # partitions
_MOST_GROUPS = 40


class ListGrid(NamedTuple):
    """Centroids as whole numbers, so that every machine orders lists alike; see `reference.list_order`."""

    centroids: I16
    """int16 (P, width): steps of the grid, filled up with zeros."""
    halves: I32
    """int32 (P,): half of |c|^2 + 0.4 times the mean squared distance of its rows; zeros for "dot"."""
    groups: I16
    """int16 (G, width): centroids of groups of partitions."""
    group_halves: I32
    first: I64
    """int64 (G + 1): group g has the partitions ``first[g] .. first[g + 1] - 1``."""
    D: int
    looked: int
    """So many of the nearest groups are looked at before the others."""
    scale: float
    """Steps a unit; 0: a query is scaled by its own largest value, as its length changes no order."""
    largest: float
    """No step is beyond it."""


class ListRun(Protocol):
    """Lists of one run, joined in order of partition; within a list rows ascend."""

    prepared: Any
    """What kernels keep with it; None at first."""

    @property
    def offsets(self) -> U32:
        """uint32 (P + 1): where each list begins, counted in rows."""

    @property
    def first_row(self) -> int:
        """What row numbers count from."""

    @property
    def chunk_rows(self) -> int:
        """Rows of every chunk but the last: whole blocks."""


ReadChunk: TypeAlias = Callable[[int, int], tuple[U8, U32]]
"""Of a run, by its place in `Lists.runs`, and an ordinal: (packed codes, row numbers minus `first_row`) of a chunk."""

AskChunks: TypeAlias = Callable[[Sequence[tuple[int, int]]], None]
"""Told of all chunks that are about to be read, so that they can come together from where they lie."""


class Lists(NamedTuple):
    """What a search of lists reads. A row of a list is live when its segment is there and does not say it is dead."""

    grid: ListGrid
    runs: Sequence[ListRun]
    flat: Sequence[CodeChunk]
    """Rows that are in no list."""
    segments: I64
    """int64, ascending."""
    dead: Sequence[U8 | None]
    """The bitmap of each segment, lowest bit first; None: no row of it is dead."""
    segment_rows: int
    selected: bool = False
    """Whether most rows may be dead, as under a filter. Then lists without a live row are passed over."""


def list_grid(centroids: F32, spreads: F64, groups: F32, first: I64, *, dot: bool) -> ListGrid:
    """The grid of `centroids` float32 (P, D), `spreads` float64 (P,), their rows' mean squared distances to them, and
    `groups` float32 (G, D). `dot`: lists are ordered by inner product in place of distance."""
    P, D = centroids.shape
    width = -(-D // _WIDTH) * _WIDTH
    largest = float(min(32767, int((_LARGEST_SUM / width) ** 0.5)))
    most = max(float(np.abs(centroids).max(initial=0)), float(np.abs(groups).max(initial=0))) * _ROOM
    scale = largest / most if most > 0 else 0.0
    if not np.isfinite(scale):  # values that float32 can hardly tell from zero
        scale = float(np.finfo(np.float32).max)
    looked = len(groups) if P <= _ALL_GROUPS_UP_TO else min(_MOST_GROUPS, -(-3 * len(groups) // 8))
    return ListGrid(
        _steps(centroids, scale, largest, width),
        _halves(centroids, spreads, scale, dot),
        _steps(groups, scale, largest, width),
        _halves(groups, np.zeros(len(groups)), scale, dot),
        first.astype(np.int64),
        D,
        looked,
        0.0 if dot else scale,
        largest,
    )


def _steps(vectors: F32, scale: float, largest: float, width: int) -> I16:
    steps = np.zeros((len(vectors), width), dtype=np.int16)
    steps[:, : vectors.shape[1]] = np.rint(np.clip(vectors.astype(np.float64) * scale, -largest, largest))
    return steps


def _halves(vectors: F32, spreads: F64, scale: float, dot: bool) -> I32:
    if dot:
        return np.zeros(len(vectors), dtype=np.int32)
    wide = vectors.astype(np.float64) * scale
    squares = np.zeros(len(vectors))
    for d in range(vectors.shape[1]):  # in this order, whatever the machine
        squares += wide[:, d] * wide[:, d]
    halves = (squares + _SPREAD_SHARE * (spreads * scale * scale)) / 2
    return np.rint(np.minimum(halves, _LARGEST_SUM)).astype(np.int32)
