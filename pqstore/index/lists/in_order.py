"""All live rows in order of partition, for those who take whole lists."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pqstore.arrays import F32, I64
from pqstore.index.lists.assigning import decoded_codewords, table_of
from pqstore.index.reading import Reading
from pqstore.index.selection.searchable import lack_vectors
from pqstore.kernels import resolve_threads
from pqstore.quantizer.partitions import PartitionTable
from pqstore.storage import SnapshotLists

__all__ = ["PartitionedRows", "partitioned_rows"]

_ROWS = 1 << 18  # read at a time


class PartitionedRows(NamedTuple):
    """Live rows by partition, those too that are in no list yet."""

    centroids: F32
    """float32 (P, D), in the space of the codewords."""
    sizes: I64
    """int64 (P,)."""
    lists: Iterator[tuple[npt.NDArray[Any], npt.NDArray[Any]]]
    """(ids (n,), codes (n, M) in the quantizer's labels) of each partition in turn."""


def partitioned_rows(reading: Reading) -> PartitionedRows:
    """Everything, list after list, in memory that is bounded but for the rows that are in no list.

    Raises:
        ValueError: the index has no lists.
    """
    state = SnapshotLists(reading.snapshot)
    reads = state.read()
    if reads is None:
        raise ValueError("the index has no lists: call partition() first, or export all rows with kind='flat'")
    table = table_of(reads.table)
    flat = _with_vectors(reading, state.flat_rows())
    flat_partitions = _assigned(reading, table, flat)
    sizes = np.bincount(flat_partitions, minlength=len(table))
    spans = _spans(sum(run.offsets.astype(np.int64) for run in reads.runs), len(table))
    for first, end in spans:
        sizes[first:end] += np.bincount(_rows(reading, state, first, end)[1] - first, minlength=end - first)

    def lists() -> Iterator[tuple[npt.NDArray[Any], npt.NDArray[Any]]]:
        for first, end in spans:
            rows, partitions = _rows(reading, state, first, end)
            mine = (flat_partitions >= first) & (flat_partitions < end)
            rows, partitions = np.append(rows, flat[mine]), np.append(partitions, flat_partitions[mine])
            order = np.lexsort((rows, partitions))
            rows, bounds = rows[order], np.searchsorted(partitions[order], np.arange(first, end + 1))
            ids, codes = reading.snapshot.ids_of(rows), reading.codes_of(rows)
            for start, stop in pairwise(bounds.tolist()):
                yield ids[start:stop], codes[start:stop]

    return PartitionedRows(table.centroids, sizes.astype(np.int64), lists())


def _assigned(reading: Reading, table: PartitionTable, rows: I64) -> I64:
    if len(rows) == 0:
        return np.empty(0, dtype=np.int64)
    return table.assign(decoded_codewords(reading.coded, reading.snapshot.codes_of(rows)), resolve_threads(None))


def _spans(offsets: Any, partitions: int) -> list[tuple[int, int]]:
    """Partitions in spans of about so many rows."""
    if isinstance(offsets, int):  # there are no runs
        return [(0, partitions)]
    cuts = np.searchsorted(offsets, np.arange(_ROWS, int(offsets[-1]), _ROWS)).tolist()
    edges = sorted({0, partitions, *(cut for cut in cuts if 0 < cut < partitions)})
    return list(pairwise(edges))


def _with_vectors(reading: Reading, rows: I64) -> I64:
    return rows[~lack_vectors(reading, rows)]


def _rows(reading: Reading, state: SnapshotLists, first: int, end: int) -> tuple[I64, I64]:
    """(live rows with a vector, their partitions) of lists first .. end - 1."""
    rows, partitions = state.rows_of_lists(first, end)
    live = state.are_live(rows)
    live[live] = ~lack_vectors(reading, rows[live])
    return rows[live], partitions[live]
