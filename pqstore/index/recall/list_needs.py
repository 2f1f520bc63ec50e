"""How many rows of lists a search reads before it comes to a row."""

from __future__ import annotations

import numpy as np

from pqstore.arrays import F32, I64
from pqstore.index.lists.assigning import decoded_codewords, table_of
from pqstore.index.reading import Reading
from pqstore.kernels import list_order
from pqstore.storage import ListReads, SnapshotLists

__all__ = ["rows_before"]


def rows_before(reading: Reading, queries: F32, wanted: I64, threads: int) -> I64 | None:
    """Rows in the lists that each query reads before the list of each row of `wanted` (n, k): int64 (n, k); -1 for a
    row that is in no list, which is always read. None: there are no lists."""
    state = SnapshotLists(reading.snapshot)
    reads = state.read()
    if reads is None:
        return None
    table = table_of(reads.table)
    grid = table.grid(dot=reading.coded.metric == "dot")
    flat = wanted.reshape(-1)
    partitions = np.full(len(flat), -1, dtype=np.int64)
    listed = np.flatnonzero(state.are_listed(flat))
    codes = reading.snapshot.codes_of(flat[listed])
    partitions[listed] = table.assign(decoded_codewords(reading.coded, codes), threads)
    sizes = _sizes(reads)
    before = np.full(wanted.shape, -1, dtype=np.int64)
    for q, (query, mine) in enumerate(
        zip(reading.coded.turned(queries), partitions.reshape(wanted.shape), strict=True)
    ):
        order = list_order(grid, query)
        rows = np.empty(len(order), dtype=np.int64)
        rows[order] = np.cumsum(sizes[order]) - sizes[order]
        before[q, mine >= 0] = rows[mine[mine >= 0]]
    return before


def _sizes(reads: ListReads) -> I64:
    sizes = np.zeros(reads.lists.partitions, dtype=np.int64)
    for run in reads.runs:
        offsets = run.offsets.astype(np.int64)
        sizes += offsets[1:] - offsets[:-1]
    return sizes
