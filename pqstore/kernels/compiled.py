"""The compiled kernels as a set of kernels: makes the arrays that results go into, and arrays fit to be read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pqstore.arrays import F32, F64, I64
from pqstore.kernels.chunk import CodeChunk, OriginalChunk, OriginalKind
from pqstore.kernels.code_layout import CodeLayout
from pqstore.kernels.contract import Searcher
from pqstore.kernels.lists import AskChunks, ListGrid, Lists, ReadChunk
from pqstore.kernels.readable import readable
from pqstore.kernels.table_parts import queries_at_a_time, table_parts

__all__ = ["CompiledKernels"]

_LARGEST_CODE = 0xFFFFFFFF
_FLOAT32, _INT64 = np.dtype(np.float32), np.dtype(np.int64)


class CompiledKernels:
    """Kernels of `pqstore._native`; every result equals that of `pqstore.kernels.reference`, to the bit."""

    def __init__(self, module: Any, name: str) -> None:
        """`module`: the compiled one; `name`: of kernels that run here."""
        self._module = module
        self._native = module.NativeKernels(name)
        self.name = name

    def dtables(self, queries: F32, codewords: F32, metric: str) -> F32:
        tables = np.empty((len(queries), *codewords.shape[:2]), dtype=np.float32)
        self._native.dtables(readable(queries), readable(codewords), metric == "dot", tables)
        return tables

    def adist(self, dtable: F32, codes: npt.NDArray[Any], threads: int = 1) -> F32:
        distances = np.empty(len(codes), dtype=np.float32)
        if codes.dtype.itemsize > 4:
            # Codes that no table can have stay codes that no table can have.
            codes = np.minimum(codes, _LARGEST_CODE).astype(np.uint32)
        self._native.adist(readable(dtable), readable(codes), threads, distances)
        return distances

    def encode(self, vectors: F32, codewords: F32, threads: int = 1) -> npt.NDArray[Any]:
        M, Ks, _ = codewords.shape
        codes = np.empty((len(vectors), M), dtype=_code_dtype(Ks))
        self._native.encode(readable(vectors), readable(codewords), threads, codes)
        return codes

    def lloyd_step(self, groups: F32, codewords: F32, threads: int = 1) -> tuple[npt.NDArray[Any], F64, I64]:
        labels = np.empty(groups.shape[:2], dtype=_code_dtype(codewords.shape[1]))
        sums = np.empty(codewords.shape, dtype=np.float64)
        counts = np.empty(codewords.shape[:2], dtype=np.int64)
        self._native.lloyd_step(readable(groups), readable(codewords), threads, labels, sums, counts)
        return labels, sums, counts

    def pack(self, layout: CodeLayout, codes: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
        if not layout.kind.startswith("block"):
            return layout.pack(codes)
        packed = np.empty(layout.packed_size(len(codes)), dtype=np.uint8)
        self._native.pack(layout.kind, np.ascontiguousarray(codes, dtype=np.uint8), packed)
        return packed

    def unpack(self, layout: CodeLayout, packed: npt.NDArray[np.uint8], rows: int) -> npt.NDArray[Any]:
        if not layout.kind.startswith("block"):
            return layout.unpack(packed, rows)
        codes = np.empty((rows, layout.M), dtype=np.uint8)
        self._native.unpack(layout.kind, readable(packed), codes)
        return codes

    def scan_labels(self, codewords: F32) -> npt.NDArray[np.uint8]:
        labels = np.empty(codewords.shape[:2], dtype=np.uint8)
        self._native.scan_labels(readable(codewords), labels)
        return labels

    def relabel(self, labels: npt.NDArray[np.uint8], codes: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        renamed = np.empty(codes.shape, dtype=np.uint8)
        self._native.relabel(readable(labels), readable(codes), renamed)
        return renamed

    def scan(
        self, chunks: Sequence[CodeChunk], layout: CodeLayout, tables: F32, k: int, threads: int = 1
    ) -> tuple[F32, I64]:
        distances = np.empty((len(tables), k), dtype=np.float32)
        rows = np.empty((len(tables), k), dtype=np.int64)
        self._native.scan(chunks, layout.kind, readable(tables), threads, distances, rows)
        return distances, rows

    def searcher(
        self, layout: CodeLayout, codewords: F32, labels: npt.NDArray[np.uint8] | None, *, dot: bool
    ) -> Searcher:
        return CompiledSearcher(self._module, self.name, layout, codewords, labels, dot)

    def exact_scan(
        self,
        kind: OriginalKind,
        metric: str,
        chunks: Sequence[OriginalChunk],
        queries: F64,
        k: int,
        threads: int = 1,
    ) -> tuple[F32, I64]:
        distances = np.empty((len(queries), k), dtype=np.float32)
        rows = np.empty((len(queries), k), dtype=np.int64)
        self._module.exact_scan(self.name, kind, metric, chunks, readable(queries), threads, distances, rows)
        return distances, rows


class CompiledSearcher:
    """Searches of one index by compiled kernels; equals `pqstore.kernels.reference.searching`, to the bit."""

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
        self._module, self._kernels = native, kernels
        self._grid: tuple[ListGrid | None, Any] = None, None
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

    def plain_search(
        self,
        prepared: Any,
        state: Any,
        ids: tuple[Any, ...],
        rows_follow_ids: bool,
        result: type[Any],
        effort: tuple[int, int, int] | None = None,
        exact: tuple[Any, ...] | None = None,
    ) -> Any:
        most, arrays = queries_at_a_time(self._layout), (np.ndarray, np.empty, _FLOAT32, _INT64, result)
        codes = (prepared, None, (0, 0, 0)) if effort is None else (None, prepared[0], effort)
        ranking = None
        if exact is not None:
            *originals, candidates = exact
            ranking = self._module.ExactRanking(*originals, self._kernels == "portable", candidates)
        return self._module.PlainSearch(self._native, *codes, ranking, state, ids, rows_follow_ids, most, arrays)

    def tables(self, queries: F32) -> F32 | None:
        tables = np.empty((len(queries), self._layout.M, self._layout.table_size), dtype=np.float32)
        return tables if self._native.tables(readable(queries), tables) else None

    def search(self, queries: F32, prepared: Any, k: int, threads: int = 1) -> tuple[F32, I64] | None:
        n, queries = len(queries), readable(queries)
        distances, rows = np.empty((n, k), dtype=np.float32), np.empty((n, k), dtype=np.int64)
        if n == 1:
            return (distances, rows) if self._native.search(queries, prepared, threads, distances, rows) else None
        for part in table_parts(n, self._layout):
            if not self._native.search(queries[part], prepared, threads, distances[part], rows[part]):
                return None
        return distances, rows

    def prepare_lists(self, lists: Lists) -> Any:
        native, layout = self._module, self._layout
        for run in lists.runs:
            if run.prepared is None:
                shape = layout.kind, layout.M, layout.table_size
                run.prepared = native.PreparedRun(*shape, readable(run.offsets), run.first_row, run.chunk_rows)
        runs = [run.prepared for run in lists.runs]
        prepared = native.PreparedLists(
            self._prepared_grid(lists.grid),
            runs,
            self.prepare(lists.flat),
            readable(lists.segments),
            lists.dead,
            lists.segment_rows,
            lists.selected,
        )
        return prepared, runs

    def _prepared_grid(self, grid: ListGrid) -> Any:
        if self._grid[0] is not grid:
            self._grid = grid, self._module.PreparedGrid(*grid)
        return self._grid[1]

    def search_lists(
        self,
        queries: F32,
        prepared: Any,
        read: ReadChunk,
        k: int,
        most: int,
        budget: int,
        least: int,
        threads: int = 1,
        ask: AskChunks | None = None,
    ) -> tuple[F32, I64, I64] | None:
        n, queries = len(queries), readable(queries)
        lists, runs = prepared
        distances, rows = np.empty((n, k), dtype=np.float32), np.empty((n, k), dtype=np.int64)
        counts = np.empty((n, 3), dtype=np.int64)
        for part in [slice(0, 1)] if n == 1 else table_parts(n, self._layout):
            out = distances[part], rows[part], counts[part]
            missing = self._native.search_lists(queries[part], lists, most, budget, least, threads, *out)
            while missing:  # chunks are read when they are first wanted
                wanted = sorted(set(missing))
                if ask is not None:
                    ask(wanted)
                for number, ordinal in wanted:
                    codes, numbers = read(number, ordinal)
                    runs[number].put(ordinal, readable(codes), readable(numbers))
                missing = self._native.search_lists(queries[part], lists, most, budget, least, threads, *out)
            if missing is None:
                return None
        return distances, rows, counts


def _code_dtype(Ks: int) -> type[np.unsignedinteger[Any]]:
    return np.uint8 if Ks <= 256 else np.uint16 if Ks <= 65_536 else np.uint32
