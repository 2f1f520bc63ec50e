"""Top-k search over the chunks of a snapshot: tables, scan, rows to ids."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from pqstore.index.code_space import CodeSpace
from pqstore.index.ids import IdArray, IdType
from pqstore.index.results import SearchResult
from pqstore.kernels import CodeChunk, active, resolve_threads
from pqstore.quantizer import as_queries
from pqstore.storage import Snapshot

__all__ = ["search_chunks"]

F32 = npt.NDArray[np.float32]
I64 = npt.NDArray[np.int64]

# Tables held at a time: bounds the memory of a batch whatever its length.
_TABLE_BYTES = 32 << 20


def search_chunks(
    snapshot: Snapshot, space: CodeSpace, id_type: IdType, queries: Any, k: int, threads: int | None
) -> SearchResult:
    """Check the arguments, then scan; see `pqstore.Index.search`."""
    k = _as_k(k)
    thread_count = resolve_threads(threads)
    batch, single = as_queries(queries, space.D)
    distances, rows = _scan_batches(snapshot, space, batch, k, thread_count)
    ids = _ids_of_rows(snapshot, rows, id_type)
    if single:
        return SearchResult(ids[0], distances[0])
    return SearchResult(ids, distances)


def _as_k(k: int) -> int:
    try:
        count = operator.index(k)
    except TypeError as error:
        raise TypeError(f"k must be an integer, got {type(k).__name__}") from error
    if count < 1:
        raise ValueError(f"k must be at least 1, got {count}")
    return count


def _scan_batches(snapshot: Snapshot, space: CodeSpace, queries: F32, k: int, threads: int) -> tuple[F32, I64]:
    """Distances float32 (n, k), in the sign of the metric, and rows int64 (n, k)."""
    padding = np.float32(-np.inf if space.larger_is_nearer else np.inf)
    distances = np.full((len(queries), k), padding, dtype=np.float32)
    rows = np.full((len(queries), k), -1, dtype=np.int64)
    # More than the live rows cannot be found: the scan is not asked to keep room for them.
    found = min(k, snapshot.live_rows)
    if found == 0:
        return distances, rows
    # The same fields, named in the room that each belongs to.
    chunks = cast(Sequence[CodeChunk], snapshot.chunks())
    table_bytes = 4 * space.M * space.layout.table_size
    step = max(1, _TABLE_BYTES // table_bytes)
    for start in range(0, len(queries), step):
        tables = space.scan_tables(queries[start : start + step])
        nearest, nearest_rows = active().scan(chunks, space.layout, tables, found, threads)
        if space.larger_is_nearer:
            np.negative(nearest, out=nearest)
        distances[start : start + step, :found] = nearest
        rows[start : start + step, :found] = nearest_rows
    return distances, rows


def _ids_of_rows(snapshot: Snapshot, rows: I64, id_type: IdType) -> IdArray:
    """The ids of rows of any shape; -1 becomes the id that stands for none."""
    known = rows >= 0
    if known.all():
        return snapshot.ids_of(rows.reshape(-1)).reshape(rows.shape)
    ids: IdArray = (
        np.full(rows.shape, -1, dtype=np.int64) if id_type == "int64" else np.full(rows.shape, None, dtype=object)
    )
    ids[known] = snapshot.ids_of(rows[known])
    return ids
