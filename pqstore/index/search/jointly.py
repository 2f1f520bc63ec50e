"""Several indexes of one codebook, searched by a single scan: the rows of each are numbered after those before it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pqstore.arrays import F32, I64
from pqstore.index.reading import Reading
from pqstore.index.search.order import has_ties, reaches_beyond
from pqstore.index.selection.searchable import rows_without_vector
from pqstore.kernels import CodeChunk
from pqstore.storage import SnapshotLists

__all__ = ["JointCodes", "JointHits", "joint_codes"]


class JointHits(NamedTuple):
    """The nearest of all indexes, equal distances in the order of ids."""

    ids: npt.NDArray[Any]
    """(n, k)"""
    distances: F32
    """(n, k)"""
    owners: I64
    """int64 (n, k): the place of the index that has it; -1 for padding."""
    is_open: npt.NDArray[np.bool_]
    """bool (n,): of these queries so many rows are as near as the k-th that it is not known which come first, or an id
    comes twice."""


class JointCodes:
    """The codes of one state of each index, ready to be searched."""

    def __init__(self, readings: Sequence[Reading]) -> None:
        """`readings`: of indexes with the same quantizer."""
        self._states = [reading.kept for reading in readings]
        chunks: list[CodeChunk] = []
        firsts = [0]
        for reading in readings:
            mine = reading.snapshot.chunks()
            chunks += [CodeChunk(each.packed, each.rows, firsts[-1] + each.first_row, each.dead) for each in mine]
            firsts.append(firsts[-1] + max((each.first_row + each.rows for each in mine), default=0))
        self._firsts = np.array(firsts, dtype=np.int64)
        self._space = readings[0].coded
        self._strings = readings[0].id_type == "str"
        self._prepared = self._space.prepared(chunks)
        self._rows_follow_ids = _rows_follow_ids(readings)
        self.has_lists = any(SnapshotLists(reading.snapshot).read() is not None for reading in readings)
        """Whether a search may read less than all codes."""
        self.hides_rows = any(rows_without_vector(reading) is not None for reading in readings)
        """Whether some rows have no vector, and so no codes that count."""

    def is_of(self, readings: Sequence[Reading]) -> bool:
        """Whether these are of the same states."""
        states = [reading.kept for reading in readings]
        return len(states) == len(self._states) and all(
            new is old for new, old in zip(states, self._states, strict=True)
        )

    def search(self, readings: Sequence[Reading], queries: F32, k: int, threads: int) -> JointHits:
        """The k nearest by codes, of `readings` that this `is_of`; float32 (n, D) are the queries.

        Raises:
            InvalidVectorError: as `CodeSpace.search`.
        """
        is_open = np.zeros(len(queries), dtype=bool)
        if self._rows_follow_ids:
            distances, rows = self._space.search(queries, self._prepared, k, threads)
            ids, owners = self._named(readings, rows)
            return JointHits(ids, distances, owners, is_open)
        deep, rows = self._space.search(queries, self._prepared, k + 1, threads)
        distances, nearest = np.ascontiguousarray(deep[:, :k]), np.ascontiguousarray(rows[:, :k])
        for q in np.flatnonzero(has_ties(deep, rows).any(axis=1)).tolist():
            near, its = deep[q], rows[q]
            if reaches_beyond(near, its, k):
                near, its = (part[0] for part in self._deeper(queries[q : q + 1], k, threads))
                is_open[q] = its[-1] >= 0 and near[-1] == distances[q, k - 1]
            order, distinct = self._by_id(readings, near, its)
            order = order[:k]
            distances[q, : len(order)], nearest[q, : len(order)] = near[order], its[order]
            is_open[q] |= not distinct
        ids, owners = self._named(readings, nearest)
        return JointHits(ids, distances, owners, is_open)

    def _deeper(self, query: F32, k: int, threads: int) -> tuple[F32, I64]:
        return self._space.search(query, self._prepared, 4 * k + 64, threads)

    def _by_id(self, readings: Sequence[Reading], distances: F32, rows: I64) -> tuple[I64, bool]:
        """The order of the rows of one query that exist, nearest first and equal distances by id; and whether no id
        comes twice, as it does when rows are moved from one index to another."""
        there = int((rows >= 0).sum())
        ids = self._named(readings, rows[:there])[0]
        known, ranks = np.unique(ids, return_inverse=True)
        signed = -distances[:there] if self._space.larger_is_nearer else distances[:there]
        return np.lexsort((ranks, signed)), len(known) == there

    def _named(self, readings: Sequence[Reading], rows: I64) -> tuple[npt.NDArray[Any], I64]:
        """Ids of rows, and whose they are."""
        there = rows >= 0
        owners = np.where(there, np.searchsorted(self._firsts, rows, "right") - 1, -1)
        ids = np.full(rows.shape, None, dtype=object) if self._strings else np.full(rows.shape, -1, dtype=np.int64)
        for owner in np.unique(owners[there]).tolist():
            mine = owners == owner
            ids[mine] = readings[owner].snapshot.ids_of(rows[mine] - self._firsts[owner])
        return ids, owners


def _rows_follow_ids(readings: Sequence[Reading]) -> bool:
    """Whether ids ascend with rows in each index, and from one to the next: then a scan finds them in their order."""
    last = None
    for reading in readings:
        chunks = reading.snapshot.chunks()
        if reading.id_type == "str" or not reading.rows_follow_ids:
            return False
        if chunks:
            ends = np.array([chunks[0].first_row, chunks[-1].first_row + chunks[-1].rows - 1], dtype=np.int64)
            first, end = reading.snapshot.ids_of(ends).tolist()
            if last is not None and first <= last:
                return False
            last = end
    return True


def joint_codes(known: JointCodes | None, readings: Sequence[Reading]) -> JointCodes:
    """The codes of these readings; those that are known, where they are of the same states."""
    return known if known is not None and known.is_of(readings) else JointCodes(readings)
