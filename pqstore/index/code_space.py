"""Between the quantizer's labels and the labels on disk; between queries and the tables of a scan."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, NoReturn

import numpy as np
import numpy.typing as npt

from pqstore.arrays import F32, I64
from pqstore.errors import InvalidVectorError
from pqstore.index.code_packing import CodePacking
from pqstore.kernels import (
    AskChunks,
    CodeChunk,
    CodeLayout,
    ListGrid,
    OriginalFormat,
    OriginalKind,
    ReadChunk,
    Searcher,
    active,
)
from pqstore.quantizer import Metric, Quantizer, as_vectors

__all__ = ["CodeSpace", "Phase", "RetrainMode", "RowBlock", "Training"]

Phase = Literal["exact", "codes"]
RetrainMode = Literal["auto", "background", "manual"]

Codes = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class RowBlock:
    """Rows on their way into the store."""

    codes: Codes
    """Stored labels (n, M)."""
    originals: npt.NDArray[np.uint8] | None = None
    """uint8 (n, row_bytes), where the index stores originals."""

    def __len__(self) -> int:
        return len(self.codes)

    def of(self, keep: npt.NDArray[np.bool_]) -> RowBlock:
        """Some of the rows."""
        return RowBlock(self.codes[keep], None if self.originals is None else self.originals[keep])


@dataclass(frozen=True, slots=True)
class Training:
    """How the index trained its quantizer on vectors of its own."""

    rows: int
    """How many vectors it had then."""
    error: float
    """Mean squared distance between those and what their codes describe; of unit length for "cosine"."""
    rerank: int
    """Candidates that a search for 10 re-ranks unless it is told otherwise; 0: none, there are no originals."""
    retrain: RetrainMode = "manual"
    """Who trains it anew when the data have moved."""


class CodeSpace:
    """What an index knows of its quantizer: encoding into stored labels, and distance tables over stored labels.

    Codewords of one byte are stored under labels that make scans fast (`pqstore.kernels.reference.scan_labels`); codes
    of 4 bits and wide codes are stored as they are.
    """

    phase: Literal["codes"] = "codes"

    def __init__(
        self,
        quantizer: Quantizer,
        metric: Metric,
        labels: npt.NDArray[np.uint8] | None = None,
        originals: OriginalKind | None = None,
        training: Training | None = None,
    ) -> None:
        """`labels` uint8 (M, Ks) as read from an index; without them, a block8 layout gets new ones."""
        codewords = quantizer.codewords
        assert codewords is not None
        self.quantizer = quantizer
        self.training = training
        self.metric = metric
        self.M, self.Ks, self.D = quantizer.M, quantizer.Ks, codewords.shape[0] * codewords.shape[2]
        self.originals = None if originals is None else OriginalFormat(originals, self.D)
        self.layout = CodeLayout(self.M, self.Ks)
        self.labels = active().scan_labels(codewords) if labels is None and self.layout.kind == "block8" else labels
        # The coder measures by the metric of the index, which need not be the one the quantizer came with.
        self._coder = quantizer.with_metric(metric)
        # Names of 256 entries a sub-space, whatever Ks, so that no byte leads outside them.
        self._names: npt.NDArray[np.uint8] | None = None
        self._unlabels: npt.NDArray[np.uint8] | None = None
        if self.labels is not None:
            self._names = np.pad(self.labels, ((0, 0), (0, 256 - self.Ks)))
            self._unlabels = _inverse(self.labels)
        self._searcher: Searcher | None = None
        self.list_grid: tuple[int, ListGrid] | None = None
        """What lists are ordered by, with the number of its table: of the newest that was searched."""
        # Whether queries go to the searcher as they come: it then finds values that are not finite itself.
        self.takes_queries = quantizer.kind == "PQ" and metric != "cosine"

    @property
    def searcher(self) -> Searcher:
        """What searches stored codes, by the kernels that are active."""
        if self._searcher is None:
            codewords = self._coder.codewords
            assert codewords is not None
            self._searcher = active().searcher(self.layout, codewords, self.labels, dot=self.larger_is_nearer)
        return self._searcher

    @property
    def original_kind(self) -> OriginalKind | None:
        """How vectors themselves are kept."""
        return None if self.originals is None else self.originals.kind

    def fulfils(self, originals: OriginalKind | None) -> bool:
        """Whether the index is one that was created with these; None asks for nothing."""
        # An index that trains itself keeps float32 where a value is beyond the float16 that was asked for.
        widened = self.training is not None and (originals, self.original_kind) == ("float16", "float32")
        return originals in (None, self.original_kind) or widened

    @property
    def larger_is_nearer(self) -> bool:
        return self.metric != "l2"

    @property
    def code_bytes(self) -> int:
        """Bytes of a code as it is stored."""
        return self.layout.packed_size(32) // 32

    def encode(self, vectors: F32, threads: int) -> Codes:
        """A checked block of vectors float32 (n, D) -> stored labels (n, M)."""
        return self.to_stored(self._coder.encode_block(vectors, threads).astype(self.quantizer.code_dtype, copy=False))

    def prepare(self, vectors: F32, threads: int) -> RowBlock:
        """Vectors float32 (n, D) as they are stored."""
        originals = None if self.originals is None else self.originals.encode(vectors)
        return RowBlock(self.encode(vectors, threads), originals)

    def join(self, codes: Codes, vectors: F32) -> RowBlock:
        """Codes (n, M) in the quantizer's labels and the vectors float32 (n, D) that they describe, as stored.

        Raises:
            InvalidVectorError: a vector is not finite.
        """
        assert self.originals is not None
        return RowBlock(self.to_stored(codes), self.originals.encode(as_vectors(vectors, self.D, "vectors")))

    def to_stored(self, codes: Codes) -> Codes:
        """The quantizer's labels (n, M) -> stored labels."""
        return codes if self._names is None else active().relabel(self._names, codes.astype(np.uint8, copy=False))

    def from_stored(self, stored: Codes) -> Codes:
        """Stored labels (n, M) -> the quantizer's labels."""
        labels = stored if self._unlabels is None else active().relabel(self._unlabels, stored)
        return labels.astype(self.quantizer.code_dtype, copy=False)

    @property
    def packing(self) -> CodePacking:
        """How the storage packs codes."""
        return CodePacking(self.layout)

    @property
    def row_cost(self) -> int:
        """Bytes to fetch for a row."""
        return self.M

    def decode(self, stored: Codes) -> F32:
        """Stored labels (n, M) -> the vectors that they describe, float32 (n, D)."""
        return self.quantizer.decode(self.from_stored(stored))

    def unpack(self, packed: npt.NDArray[np.uint8], rows: int) -> Codes:
        """The stored labels of a chunk."""
        return active().unpack(self.layout, packed, rows)

    def prepared(self, chunks: Sequence[CodeChunk]) -> Any:
        """Chunks, ready for `search`. Their memory must stay as it is."""
        return self.searcher.prepare(chunks)

    def gathered(self, stored: Codes) -> Any:
        """Stored labels of rows that were fetched, ready for `search`, numbered from 0."""
        return self.searcher.prepare((CodeChunk(active().pack(self.layout, stored), len(stored), 0),))

    def scorers(self, queries: F32, threads: int) -> list[Callable[[Codes], F32]]:
        """For each query, what gives the distances of stored labels; of "dot" and "cosine" the negative.

        Raises:
            InvalidVectorError: as `search`.
        """
        return [partial(active().adist, table, threads=threads) for table in self.scan_tables(queries)]

    def search(self, queries: F32, prepared: Any, k: int, threads: int) -> tuple[F32, I64]:
        """The k nearest of chunks that `searcher` prepared.

        Distances are float32 (n, k) in the sign of the metric, rows int64 (n, k); missing ones are -1, infinitely far.

        Raises:
            InvalidVectorError: a query is not finite, or so large that its distances are beyond float32.
        """
        turned = queries if self.takes_queries else self._coder.turned(queries)
        nearest = (self._searcher or self.searcher).search(turned, prepared, k, threads)
        if nearest is None:
            self._refuse(queries)
        return nearest

    def turned(self, queries: F32) -> F32:
        """Queries float32 (n, D) in the space of the codewords."""
        return self._coder.turned(queries)

    def search_lists(
        self,
        queries: F32,
        prepared: Any,
        read: ReadChunk,
        k: int,
        most: int,
        budget: int,
        least: int,
        threads: int,
        ask: AskChunks | None = None,
    ) -> tuple[F32, I64, I64]:
        """The k nearest of the lists that `searcher` prepared; see `Searcher.search_lists`.

        Raises:
            InvalidVectorError: as `search`.
        """
        turned = queries if self.takes_queries else self._coder.turned(queries)
        nearest = self.searcher.search_lists(turned, prepared, read, k, most, budget, least, threads, ask)
        if nearest is None:
            self._refuse(queries)
        return nearest

    def scan_tables(self, queries: F32) -> F32:
        """Tables for a scan over stored labels: float32 (n, M, layout.table_size), least is nearest.

        Raises:
            InvalidVectorError: as `search`.
        """
        tables = self.searcher.tables(self._coder.turned(queries))
        if tables is None:
            self._refuse(queries)
        return tables

    def _refuse(self, queries: F32) -> NoReturn:
        as_vectors(queries, self.D, "queries")  # names the value that is not finite
        raise InvalidVectorError("a query is so large that its distances overflow float32: scale vectors and queries")


def _inverse(labels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """``inverse[m, labels[m, c]] == c``, uint8 (M, 256); 0 where a label is not in use."""
    M, Ks = labels.shape
    inverse = np.zeros((M, 256), dtype=np.uint8)
    np.put_along_axis(inverse, labels.astype(np.int64), np.arange(Ks, dtype=np.uint8)[None], axis=1)
    return inverse
