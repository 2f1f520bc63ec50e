"""What a set of kernels must provide: the contract that NumPy and compiled kernels both fulfil."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from pqstore.arrays import F32, F64, I64
from pqstore.kernels.chunk import CodeChunk, OriginalChunk, OriginalKind
from pqstore.kernels.code_layout import CodeLayout
from pqstore.kernels.lists import AskChunks, Lists, ReadChunk

__all__ = ["Kernels", "Searcher"]


class Searcher(Protocol):
    """Made of an index's codewords by `Kernels.searcher`. Results never depend on `threads`."""

    def prepare(self, chunks: Sequence[CodeChunk]) -> Any:
        """The chunks in the form that `search` takes. Their memory must stay as it is while they are used."""

    def search(self, queries: F32, prepared: Any, k: int, threads: int = 1) -> tuple[F32, I64] | None:
        """The k nearest rows of each query: distances float32 (n, k) in the sign of the metric, and rows int64 (n, k);
        those that are missing are -1, infinitely far. None: a query, or its distance to a codeword, is not finite."""

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
        """What searches these chunks and gives ids, in one call, while a state of the storage is the newest; None:
        there is no compiled code for it. `ids` says where rows have theirs, `rows_follow_ids` that these ascend with
        rows; `result` is the class of what comes back, a tuple of ids and distances. With `effort`, the `most`,
        `budget` and `least` of `search_lists`, `prepared` are lists. With `exact` the nearest are re-ranked: by
        originals of a kind, by a metric, in files by segment, rows of a segment, D, and how many candidates a query."""

    def prepare_lists(self, lists: Lists) -> Any:
        """Lists in the form that `search_lists` takes. Their memory must stay as it is while they are used, and so must
        that of chunks, which are read when they are first wanted and kept with their run."""

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
        """The k nearest rows of each query in its nearest lists, `most` of them or fewer that have `budget` rows, or
        more until `least` rows are found (of lists that are `selected`: until they have so many live ones), and in
        rows that are in no list; see `reference.list_search`. Distances and
        rows as of `search`, then what was read: int64 (n, 3), lists, rows of them, pieces. None: as for `search`.
        `ask` may be told of chunks before they are read."""

    def tables(self, queries: F32) -> F32 | None:
        """Tables over stored labels, float32 (n, M, layout.table_size), for `Kernels.scan`: squared distances, or the
        negative of dot products; +inf where no codeword has a label. None: as for `search`."""


class Kernels(Protocol):
    """Arrays in, arrays out; the caller has checked shapes, dtypes and finiteness. Results never depend on `threads`.

    The functions of `pqstore.kernels.reference` define each result, to the bit.
    """

    @property
    def name(self) -> str:
        """ "numpy", or the instruction set of the compiled kernels: "portable", "avx2", "avx512",
        "neon"; "avx512-wide": without what AVX2 does in place of "avx512" where registers of 64 bytes are halved."""

    def dtables(self, queries: F32, codewords: F32, metric: str) -> F32: ...

    def adist(self, dtable: F32, codes: npt.NDArray[Any], threads: int = 1) -> F32: ...

    def encode(self, vectors: F32, codewords: F32, threads: int = 1) -> npt.NDArray[Any]:
        """Any unsigned or signed integer dtype that holds Ks - 1."""

    def lloyd_step(self, groups: F32, codewords: F32, threads: int = 1) -> tuple[npt.NDArray[Any], F64, I64]: ...

    def pack(self, layout: CodeLayout, codes: npt.NDArray[Any]) -> npt.NDArray[np.uint8]: ...

    def unpack(self, layout: CodeLayout, packed: npt.NDArray[np.uint8], rows: int) -> npt.NDArray[Any]: ...

    def scan_labels(self, codewords: F32) -> npt.NDArray[np.uint8]:
        """The label each codeword is stored under: uint8 (M, Ks), from `codewords` (M, Ks, Ds) with Ks <= 256."""

    def relabel(self, labels: npt.NDArray[np.uint8], codes: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """``labels[m, codes[i, m]]`` for `labels` uint8 (M, 256) and `codes` uint8 (n, M)."""

    def scan(
        self, chunks: Sequence[CodeChunk], layout: CodeLayout, tables: F32, k: int, threads: int = 1
    ) -> tuple[F32, I64]: ...

    def searcher(
        self, layout: CodeLayout, codewords: F32, labels: npt.NDArray[np.uint8] | None, *, dot: bool
    ) -> Searcher:
        """For codewords float32 (M, Ks, Ds), of which codeword c of sub-space m is stored as ``labels[m, c]``; as c
        without labels. `dot`: larger inner products are nearer, instead of smaller squared distances."""

    def exact_scan(
        self,
        kind: OriginalKind,
        metric: str,
        chunks: Sequence[OriginalChunk],
        queries: F64,
        k: int,
        threads: int = 1,
    ) -> tuple[F32, I64]:
        """The k nearest originals of each of `queries` (n, D), which have length 1 for "cosine"."""
