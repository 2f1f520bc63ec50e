"""Several indexes of one codebook, searched by a single scan: the rows of each are numbered after those before it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pqstore.arrays import F32, I64
from pqstore.index.reading import Reading
from pqstore.index.search.order import has_ties
from pqstore.kernels import CodeChunk
from pqstore.storage import SnapshotLists

__all__ = ["JointCodes", "JointHits", "joint_codes"]


class JointHits(NamedTuple):
    """The nearest of all indexes."""

    ids: npt.NDArray[Any]
    """(n, k)"""
    distances: F32
    """(n, k)"""
    owners: I64
    """int64 (n, k): the place of the index that has it; -1 for padding."""
    is_open: npt.NDArray[np.bool_]
    """bool (n,): of these queries rows are equally near: which come first their ids decide, of which some may not be
    here."""


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
        self._prepared = self._space.prepared(chunks)
        self.has_lists = any(SnapshotLists(reading.snapshot).read() is not None for reading in readings)
        """Whether a search may read less than all codes."""

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
        distances, rows = self._space.search(queries, self._prepared, k + 1, threads)
        is_open = np.asarray(has_ties(distances, rows).any(axis=1))
        distances, rows = np.ascontiguousarray(distances[:, :k]), rows[:, :k]
        there = rows >= 0
        owners = np.where(there, np.searchsorted(self._firsts, rows, "right") - 1, -1)
        strings = readings[0].id_type == "str"
        ids = np.full(rows.shape, None, dtype=object) if strings else np.full(rows.shape, -1, dtype=np.int64)
        for owner in np.unique(owners[there]).tolist():
            mine = owners == owner
            ids[mine] = readings[owner].snapshot.ids_of(rows[mine] - self._firsts[owner])
        return JointHits(ids, distances, owners, is_open)


def joint_codes(known: JointCodes | None, readings: Sequence[Reading]) -> JointCodes:
    """The codes of these readings; those that are known, where they are of the same states."""
    return known if known is not None and known.is_of(readings) else JointCodes(readings)
