"""Vectors that are stored as they are: what an index knows before it is trained."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal, NamedTuple, NoReturn

import numpy as np
import numpy.typing as npt

from pqstore.arrays import F32, I64
from pqstore.errors import NotTrainedError
from pqstore.index.code_space import RetrainMode, RowBlock, Training
from pqstore.index.vector_packing import VectorPacking
from pqstore.kernels import CodeChunk, OriginalChunk, OriginalFormat, OriginalKind, active, unit_length
from pqstore.quantizer import Metric, Quantizer, as_vectors, unit_rows

__all__ = ["ExactSpace", "TrainMode", "Wish"]

TrainMode = Literal["auto", "background", "manual"]


class Wish(NamedTuple):
    """What an index is to become, and when."""

    quantizer: Quantizer
    """Not trained."""
    originals: OriginalKind | None
    train: TrainMode
    train_at: int
    """Vectors from which on it trains itself."""
    retrain: RetrainMode = "manual"
    """Who trains it anew later."""


class ExactSpace:
    """The counterpart of `CodeSpace` while searches are exact: stored "codes" are float32 vectors (n, D).

    Distances have the bits of `pqstore.kernels.reference.originals.exact_distances`: sums in float64, rounded once.
    """

    phase: Literal["exact"] = "exact"
    originals: None = None
    labels: None = None
    takes_queries = False
    training: Training | None = None

    def __init__(self, D: int, metric: Metric, wish: Wish) -> None:
        self.D = D
        self.metric = metric
        self.wish = wish
        self.quantizer = wish.quantizer
        self.M, self.Ks = wish.quantizer.M, wish.quantizer.Ks
        self.packing = VectorPacking(D)
        self._format = OriginalFormat("float32", D)

    @property
    def original_kind(self) -> OriginalKind | None:
        """How vectors themselves are kept."""
        return "float32"

    def fulfils(self, originals: OriginalKind | None) -> bool:
        """Whether the index is one that was created with these; None asks for nothing."""
        return originals in (None, self.wish.originals)

    @property
    def larger_is_nearer(self) -> bool:
        return self.metric != "l2"

    @property
    def code_bytes(self) -> int:
        """Bytes of a vector as it is stored."""
        return self.packing.row_bytes

    @property
    def row_cost(self) -> int:
        """Bytes to fetch for a row."""
        return self.packing.row_bytes

    def prepare(self, vectors: F32, threads: int) -> RowBlock:
        """Vectors float32 (n, D) as they are stored.

        Raises:
            InvalidVectorError: one is zero, with metric "cosine": it could not be encoded later either.
        """
        del threads
        if self.metric == "cosine" and not vectors.any(axis=1).all():
            unit_rows(vectors)  # which says what is wrong
        return RowBlock(vectors)

    def refuse(self) -> NoReturn:
        """There are no codes.

        Raises:
            NotTrainedError: always.
        """
        raise NotTrainedError("the index has no codes before it is trained: call train(), or add more vectors")

    def from_stored(self, stored: npt.NDArray[Any]) -> NoReturn:
        """Labels of a quantizer, which there are not; see `refuse`."""
        del stored
        self.refuse()

    def decode(self, stored: npt.NDArray[Any]) -> F32:
        """Stored rows -> vectors float32 (n, D): the same."""
        return np.asarray(stored, dtype=np.float32)

    def unpack(self, packed: npt.NDArray[np.uint8], rows: int) -> F32:
        """The rows of a chunk."""
        return self.packing.unpack(packed, rows)

    def prepared(self, chunks: Sequence[CodeChunk]) -> tuple[OriginalChunk, ...]:
        """Chunks, ready for `search`. Their memory must stay as it is."""
        return tuple(
            OriginalChunk(self.packing.rows_of(chunk.packed, chunk.rows), chunk.first_row, chunk.dead)
            for chunk in chunks
        )

    def gathered(self, stored: npt.NDArray[Any]) -> tuple[OriginalChunk, ...]:
        """Rows that were fetched, ready for `search`, numbered from 0."""
        return (OriginalChunk(self._format.encode(np.ascontiguousarray(stored, dtype=np.float32)), 0),)

    def search(self, queries: F32, prepared: tuple[OriginalChunk, ...], k: int, threads: int) -> tuple[F32, I64]:
        """The k nearest: distances float32 (n, k) in the sign of the metric, rows int64 (n, k), padded."""
        return active().exact_scan("float32", self.metric, prepared, self._asked(queries), k, threads)

    def scorers(self, queries: F32, threads: int) -> list[Callable[[npt.NDArray[Any]], F32]]:
        """For each query, what gives the distances of stored rows; of "dot" and "cosine" the negative."""
        del threads
        return [partial(self._distances, query) for query in self._asked(queries)]

    def _distances(self, query: npt.NDArray[np.float64], stored: npt.NDArray[Any]) -> F32:
        content, places = self._format.encode(stored), np.arange(len(stored), dtype=np.int64)
        near, order = self._format.nearest(self.metric, content, places, places, query, len(stored))
        distances = np.empty(len(stored), dtype=np.float32)
        distances[order] = -near if self.larger_is_nearer else near
        return distances

    def _asked(self, queries: F32) -> npt.NDArray[np.float64]:
        wide = np.ascontiguousarray(as_vectors(queries, self.D, "queries"), dtype=np.float64)
        return unit_length(wide) if self.metric == "cosine" else wide
