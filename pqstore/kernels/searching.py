"""Searches of one index by one set of kernels: queries in, nearest rows out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from pqstore.arrays import F32, I64
from pqstore.kernels import reference
from pqstore.kernels.chunk import CodeChunk
from pqstore.kernels.code_layout import CodeLayout
from pqstore.kernels.readable import readable

__all__ = ["CompiledSearcher", "ReferenceSearcher", "Searcher"]

# Tables held at a time: bounds the memory of a batch whatever its length.
_TABLE_BYTES = 32 << 20


class Searcher(Protocol):
    """Made of an index's codewords by `Kernels.searcher`. Results never depend on `threads`."""

    def prepare(self, chunks: Sequence[CodeChunk]) -> Any:
        """The chunks in the form that `search` takes. Their memory must stay as it is while they are used."""

    def search(self, queries: F32, prepared: Any, k: int, threads: int = 1) -> tuple[F32, I64] | None:
        """The k nearest rows of each query: distances float32 (n, k) in the sign of the metric, and rows int64 (n, k);
        those that are missing are -1, infinitely far. None: a query, or its distance to a codeword, is not finite."""

    def tables(self, queries: F32) -> F32 | None:
        """Tables over stored labels, float32 (n, M, layout.table_size), for `Kernels.scan`: squared distances, or the
        negative of dot products; +inf where no codeword has a label. None: as for `search`."""


class ReferenceSearcher:
    """What every searcher must compute."""

    def __init__(self, layout: CodeLayout, codewords: F32, labels: npt.NDArray[np.uint8] | None, dot: bool) -> None:
        """`codewords` float32 (M, Ks, Ds); codeword c of sub-space m is stored as ``labels[m, c]``, or as c."""
        self._layout, self._codewords, self._labels, self._dot = layout, codewords, labels, dot

    def prepare(self, chunks: Sequence[CodeChunk]) -> Any:
        return tuple(chunks)

    def tables(self, queries: F32) -> F32 | None:
        with np.errstate(over="ignore", invalid="ignore"):
            tables = reference.dtables(queries, self._codewords, "dot" if self._dot else "l2")
        if not np.isfinite(tables).all():
            return None
        if self._dot:
            tables = -tables
        M, Ks, _ = self._codewords.shape
        placed = np.full((len(queries), M, self._layout.table_size), np.inf, dtype=np.float32)
        if self._labels is None:
            placed[:, :, :Ks] = tables
        else:
            np.put_along_axis(placed, self._labels[None].astype(np.int64), tables, axis=2)
        return placed

    def search(self, queries: F32, prepared: Any, k: int, threads: int = 1) -> tuple[F32, I64] | None:  # noqa: ARG002
        distances = np.empty((len(queries), k), dtype=np.float32)
        rows = np.empty((len(queries), k), dtype=np.int64)
        for part in _parts(len(queries), self._layout):
            tables = self.tables(queries[part])
            if tables is None:
                return None
            distances[part], rows[part] = reference.scan(prepared, self._layout, tables, k)
        return (-distances if self._dot else distances), rows


class CompiledSearcher:
    """The same by compiled kernels, to the bit."""

    def __init__(
        self,
        native: Any,
        kernels: str,
        layout: CodeLayout,
        codewords: F32,
        labels: npt.NDArray[np.uint8] | None,
        dot: bool,
    ) -> None:
        """`native`: the compiled module; the others as of `ReferenceSearcher`."""
        self._prepared = native.PreparedChunks
        self._layout = layout
        self._native = native.Searcher(
            kernels,
            layout.kind,
            readable(codewords),
            None if labels is None else readable(labels),
            layout.table_size,
            dot,
        )

    def prepare(self, chunks: Sequence[CodeChunk]) -> Any:
        return self._prepared(chunks, self._layout.kind, self._layout.M, self._layout.table_size)

    def tables(self, queries: F32) -> F32 | None:
        tables = np.empty((len(queries), self._layout.M, self._layout.table_size), dtype=np.float32)
        return tables if self._native.tables(readable(queries), tables) else None

    def search(self, queries: F32, prepared: Any, k: int, threads: int = 1) -> tuple[F32, I64] | None:
        n, queries = len(queries), readable(queries)
        distances, rows = np.empty((n, k), dtype=np.float32), np.empty((n, k), dtype=np.int64)
        if n == 1:
            return (distances, rows) if self._native.search(queries, prepared, threads, distances, rows) else None
        for part in _parts(n, self._layout):
            if not self._native.search(queries[part], prepared, threads, distances[part], rows[part]):
                return None
        return distances, rows


def _parts(queries: int, layout: CodeLayout) -> list[slice]:
    """Queries whose tables are held at a time."""
    step = max(1, _TABLE_BYTES // (4 * layout.M * layout.table_size))
    return [slice(start, min(start + step, queries)) for start in range(0, queries, step)]
