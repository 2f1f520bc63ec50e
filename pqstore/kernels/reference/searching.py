"""Searches of one index: queries in, nearest rows out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pqstore.arrays import F32, I64
from pqstore.kernels.chunk import CodeChunk
from pqstore.kernels.code_layout import CodeLayout
from pqstore.kernels.lists import AskChunks, Lists, ReadChunk
from pqstore.kernels.reference.list_search import search_lists
from pqstore.kernels.reference.scanning import scan
from pqstore.kernels.reference.tables import dtables
from pqstore.kernels.table_parts import table_parts

__all__ = ["ReferenceSearcher"]


class ReferenceSearcher:
    """What every searcher must compute."""

    def __init__(self, layout: CodeLayout, codewords: F32, labels: npt.NDArray[np.uint8] | None, dot: bool) -> None:
        """`codewords` float32 (M, Ks, Ds); codeword c of sub-space m is stored as ``labels[m, c]``, or as c."""
        self._layout, self._codewords, self._labels, self._dot = layout, codewords, labels, dot

    def prepare(self, chunks: Sequence[CodeChunk]) -> Any:
        return tuple(chunks)

    def tables(self, queries: F32) -> F32 | None:
        with np.errstate(over="ignore", invalid="ignore"):
            tables = dtables(queries, self._codewords, "dot" if self._dot else "l2")
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
        for part in table_parts(len(queries), self._layout):
            tables = self.tables(queries[part])
            if tables is None:
                return None
            distances[part], rows[part] = scan(prepared, self._layout, tables, k)
        return (-distances if self._dot else distances), rows

    def plain_search(self, *_: Any) -> Any:
        return None

    def prepare_lists(self, lists: Lists) -> Any:
        return lists

    def search_lists(
        self,
        queries: F32,
        prepared: Any,
        read: ReadChunk,
        k: int,
        most: int,
        budget: int,
        least: int,
        threads: int = 1,  # noqa: ARG002
        ask: AskChunks | None = None,  # noqa: ARG002
    ) -> tuple[F32, I64, I64] | None:
        distances = np.empty((len(queries), k), dtype=np.float32)
        rows = np.empty((len(queries), k), dtype=np.int64)
        counts = np.empty((len(queries), 3), dtype=np.int64)
        for part in table_parts(len(queries), self._layout):
            tables = self.tables(queries[part])
            if tables is None:
                return None
            for q, table in enumerate(tables, part.start):
                found = search_lists(prepared, read, self._layout, queries[q], table, k, most, budget, least)
                distances[q], rows[q], counts[q] = found
        return (-distances if self._dot else distances), rows, counts
