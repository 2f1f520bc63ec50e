"""How many rows of lists a search reads before it comes to a row."""

from __future__ import annotations

import numpy as np

from pqstore.arrays import F32, I64
from pqstore.index.lists.assigning import decoded_codewords, table_of
from pqstore.index.reading import Reading
from pqstore.kernels import list_order
from pqstore.storage import ListReads, SnapshotLists

__all__ = ["rows_before"]

_SAMPLE = 1 << 17  # rows that are in no list: so many say how large lists will be


def rows_before(reading: Reading, queries: F32, wanted: I64, threads: int) -> I64 | None:
    """Rows in the lists that each query reads before the list of each row of `wanted` (n, k): int64 (n, k). Rows that
    are in no list count where they will be, so that what is found holds when they are. None: there are no lists."""
    state = SnapshotLists(reading.snapshot)
    reads = state.read()
    if reads is None:
        return None
    table = table_of(reads.table)
    grid = table.grid(dot=reading.coded.metric == "dot")

    def assigned(rows: I64) -> I64:
        if len(rows) == 0:
            return np.empty(0, dtype=np.int64)
        return table.assign(decoded_codewords(reading.coded, reading.snapshot.codes_of(rows)), threads)

    partitions = assigned(wanted.reshape(-1)).reshape(wanted.shape)
    sizes = _sizes(reads)
    flat = state.flat_rows()
    if len(wanted) and len(flat):
        some = flat[:: -(-len(flat) // _SAMPLE)]
        counts = np.bincount(assigned(some), minlength=len(sizes)).astype(np.float64)
        sizes = sizes + np.rint(counts * (len(flat) / len(some))).astype(np.int64)
    before = np.empty(wanted.shape, dtype=np.int64)
    for q, query in enumerate(reading.coded.turned(queries)):
        order = list_order(grid, query)
        rows = np.empty(len(order), dtype=np.int64)
        rows[order] = np.cumsum(sizes[order]) - sizes[order]
        before[q] = rows[partitions[q]]
    return before


def _sizes(reads: ListReads) -> I64:
    sizes = np.zeros(reads.lists.partitions, dtype=np.int64)
    for run in reads.runs:
        offsets = run.offsets.astype(np.int64)
        sizes += offsets[1:] - offsets[:-1]
    return sizes
