"""A search of inverted lists: which lists a query reads, in which order, and the nearest of their rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from pqstore.arrays import F32, I64, U8
from pqstore.kernels.code_layout import CodeLayout
from pqstore.kernels.lists import U32, ListGrid, Lists, ReadChunk
from pqstore.kernels.reference.scanning import least as nearest
from pqstore.kernels.reference.scanning import scan
from pqstore.kernels.reference.tables import adist

__all__ = ["list_order", "search_lists"]


def list_order(grid: ListGrid, query: F32) -> I64:
    """Partitions in the order in which a query (D,) reads their lists: int64 (P,).

    The query is put on the grid, and a centroid's score is its half minus their inner product, in whole numbers. The
    lists of the nearest `looked` groups come first, by score and then by number, then all others in the same way.
    """
    wide, scale = query.astype(np.float64), grid.scale
    if scale == 0:
        most = float(np.abs(wide).max())
        scale = grid.largest / most if most > 0 else 0.0
    steps = np.rint(np.clip(wide * scale, -grid.largest, grid.largest))
    # float64 adds whole numbers below 2^53 exactly, in any order.
    scores = grid.halves - grid.centroids[:, : grid.D].astype(np.float64) @ steps
    later = np.zeros(len(scores), dtype=np.bool_)
    if grid.looked < len(grid.groups):
        group_scores = grid.group_halves - grid.groups[:, : grid.D].astype(np.float64) @ steps
        for group in np.argsort(group_scores, kind="stable")[grid.looked :]:
            later[grid.first[group] : grid.first[group + 1]] = True
    return np.lexsort((np.arange(len(scores)), scores, later))


def search_lists(
    lists: Lists,
    read: ReadChunk,
    layout: CodeLayout,
    query: F32,
    table: F32,
    k: int,
    most: int,
    budget: int,
    least: int,
) -> tuple[F32, I64, tuple[int, int, int]]:
    """The k nearest rows of one query: distances float32 (k,), rows int64 (k,), and what was read: lists, rows of them,
    pieces (a list of a run within a chunk).

    At most `most` lists are read, and no more once they have `budget` rows, dead ones too. Where fewer than `least`
    rows were found, at most k, twice as many lists are read, and so on to all of them. Of lists that are `selected`
    those without a live row are passed over, and further ones are read until they have `least` live rows. Rows in no
    list are read in any case.
    """
    order = list_order(lists.grid, query)
    if lists.selected:
        live = _live_rows(lists, read)[order]
        order, live = order[live > 0], live[live > 0]
    sizes: I64 = np.zeros(len(lists.grid.centroids), dtype=np.int64)
    for run in lists.runs:
        offsets = run.offsets.astype(np.int64)
        sizes += offsets[1:] - offsets[:-1]
    before = np.cumsum(sizes[order]) - sizes[order]
    count = min(most, int(np.searchsorted(before, budget, side="left")))
    if lists.selected:
        count = max(count, int(np.searchsorted(np.cumsum(live) - live, least, side="left")))
        least = 0
    flat_distances, flat_rows = scan(lists.flat, layout, table[None], k)
    while True:
        distances, rows, pieces = _rows_of(lists, read, layout, table, order[:count])
        distances = np.concatenate((flat_distances[0][flat_rows[0] >= 0], distances))
        rows = np.concatenate((flat_rows[0][flat_rows[0] >= 0], rows))
        if len(rows) >= least or count == len(order):
            break
        count = min(len(order), max(1, 2 * count))
    best = nearest(distances, rows, k)
    out_distances = np.full(k, np.inf, dtype=np.float32)
    out_rows = np.full(k, -1, dtype=np.int64)
    out_distances[: len(best)], out_rows[: len(best)] = distances[best], rows[best]
    return out_distances, out_rows, (count, int(sizes[order[:count]].sum()), pieces)


def _live_rows(lists: Lists, read: ReadChunk) -> I64:
    """How many rows of each list are live: int64 (P,)."""
    live: I64 = np.zeros(len(lists.grid.centroids), dtype=np.int64)
    for number, run in enumerate(lists.runs):
        offsets = run.offsets.astype(np.int64)
        chunks = [read(number, ordinal)[1] for ordinal in range(-(-int(offsets[-1]) // run.chunk_rows))]
        rows = np.concatenate([np.empty(0, dtype=np.int64), *chunks]).astype(np.int64) + run.first_row
        before = np.concatenate(([0], np.cumsum(_are_live(lists, rows))))
        live += before[offsets[1:]] - before[offsets[:-1]]
    return live


def _rows_of(lists: Lists, read: ReadChunk, layout: CodeLayout, table: F32, partitions: I64) -> tuple[F32, I64, int]:
    """(distances, rows) of the live rows of some lists, and how many pieces they have."""
    all_codes: list[npt.NDArray[Any]] = []
    all_rows: list[I64] = [np.empty(0, dtype=np.int64)]
    pieces = 0
    for partition in partitions.tolist():
        for number, run in enumerate(lists.runs):
            begin, end = int(run.offsets[partition]), int(run.offsets[partition + 1])
            while begin < end:
                ordinal, place = divmod(begin, run.chunk_rows)
                stop = min(end, (ordinal + 1) * run.chunk_rows)
                codes, numbers = _piece(read(number, ordinal), layout, place, stop - begin)
                all_codes.append(codes)
                all_rows.append(numbers.astype(np.int64) + run.first_row)
                begin, pieces = stop, pieces + 1
    rows = np.concatenate(all_rows)
    live = _are_live(lists, rows)
    if not live.any():
        return np.empty(0, dtype=np.float32), np.empty(0, dtype=np.int64), pieces
    distances = np.fmin(adist(table, np.concatenate(all_codes)[live]), np.float32(np.inf))
    return distances, rows[live], pieces


def _piece(chunk: tuple[U8, U32], layout: CodeLayout, place: int, count: int) -> tuple[npt.NDArray[Any], U32]:
    """(codes, numbers) of `count` rows of a chunk from `place` on."""
    packed, numbers = chunk
    whole = place - place % 32
    codes = layout.unpack(packed[layout.packed_size(whole) :], place - whole + count)
    return codes[place - whole :], numbers[place : place + count]


def _are_live(lists: Lists, rows: I64) -> npt.NDArray[np.bool_]:
    segments, positions = np.divmod(rows, lists.segment_rows)
    live = np.zeros(len(rows), dtype=np.bool_)
    for segment, dead in zip(lists.segments.tolist(), lists.dead, strict=True):
        mine = np.flatnonzero(segments == segment)
        live[mine] = True
        if dead is not None:
            at = positions[mine]
            live[mine] = (dead[at >> 3] >> (at & 7).astype(np.uint8)) & 1 == 0
    return live
