"""What a Faiss index holds, wherever it lies: transforms, codebook, codes, ids; and what that is in our terms."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pqstore.arrays import F32
from pqstore.errors import InvalidQuantizerError, NotTrainedError, UnsupportedIndexError
from pqstore.interop.faiss.bits import bits_for, row_bytes, unpack_fast_scan, unpack_rows
from pqstore.interop.faiss.reduction import departure_from_orthonormal, with_dropped_dimensions
from pqstore.quantizer import OPQ, PQ, Metric, Quantizer

__all__ = [
    "FaissContents",
    "FastScanBlocks",
    "Linear",
    "Normalization",
    "Residuals",
    "Transform",
    "looked_up",
    "padded_codewords",
    "partitioned",
]


INNER_PRODUCT, L2 = 0, 1  # Faiss's MetricType
# Rows converted at a time.
BLOCK_ROWS = 1 << 18
_LARGEST_DEPARTURE = 1e-3  # of a rotation; those of Faiss stay below 1e-5
_BY_HAND = (
    "import the index inside it, faiss.downcast_index(index.index), with its ids as ids=, and apply the transform, "
    "index.chain.at(0).apply(x), to what you add and ask"
)


@dataclass(frozen=True, slots=True)
class Linear:
    """A LinearTransform: ``x -> A @ x + b``."""

    A: F32
    """float32 (d_out, d_in)."""
    b: F32 | None
    """float32 (d_out,)."""


@dataclass(frozen=True, slots=True)
class Normalization:
    """A NormalizationTransform: a vector divided by its norm."""

    norm: float


Transform = Linear | Normalization


@dataclass(frozen=True, slots=True)
class FastScanBlocks:
    """How an IndexPQFastScan lays out its codes."""

    block_vectors: int
    M2: int


@dataclass(frozen=True, slots=True)
class Residuals:
    """The partitions of an IndexIVFPQ whose codes describe what is left of a vector without its centroid."""

    centroids: F32
    """float32 (nlist, D)."""
    partitions: npt.NDArray[np.int64]
    """int64 (rows,): the partition of each row."""


@dataclass(frozen=True, slots=True)
class FaissContents:
    """A Faiss PQ index, taken apart. Arrays may be views of the index or of its mapped file."""

    where: str
    """The file, or the class of the live index, for messages."""
    is_trained: bool
    metric_type: int
    chain: tuple[Transform, ...]
    M: int
    nbits: int
    centroids: F32
    """float32 (M, 2^nbits, Ds)."""
    rows: int
    codes: npt.NDArray[np.uint8]
    """uint8, flat: rows of `row_bytes`, or blocks of a fast scan."""
    fast_scan: FastScanBlocks | None
    ids: npt.NDArray[np.int64] | None
    """int64 (rows,); None: row numbers."""
    vectors: F32 | None = None
    """float32 (rows, D) of an IndexRefineFlat around all transforms: the vectors as they were added."""
    order: npt.NDArray[np.int64] | None = None
    """int64 (rows,): which of `vectors` each row has; None: they come in the order of rows."""
    residuals: Residuals | None = None
    """None: codes describe whole vectors."""
    partitions: F32 | None = None
    """float32 (P, Ds * M): centroids of the lists of an IndexIVFPQ whose codes are no residuals."""

    @property
    def Ks(self) -> int:  # noqa: N802
        """Codewords a sub-space, without the copies of codeword 0 that `padded_codewords` added."""
        repeats = (self.centroids == self.centroids[:, :1]).all(axis=(0, 2))
        used = np.flatnonzero(~repeats)
        Ks = int(used[-1]) + 1 if len(used) else 1
        return Ks if bits_for(Ks) == self.nbits else 1 << self.nbits

    def list_centroids(self) -> F32 | None:
        """Centroids of lists in the space of the codewords of `quantizer`, float32 (P, D); None: there are none."""
        if self.partitions is None or not np.isfinite(self.partitions).all():
            return None
        _, shift, _ = self._rotation_shift_metric()
        return self.partitions if shift is None else (self.partitions - shift.reshape(-1)).astype(np.float32)

    def quantizer(self) -> PQ | OPQ:
        """The same quantizer as a `PQ`, or an `OPQ` if vectors are rotated first.

        Raises:
            NotTrainedError: the index is not trained.
            UnsupportedIndexError: a metric or a transform that has no counterpart.
            InvalidQuantizerError: values that are not finite.
        """
        if not self.is_trained:
            raise NotTrainedError(f"{self.where} is not trained: train it first")
        if self.residuals is not None:
            raise UnsupportedIndexError(
                f"{self.where} is an IndexIVFPQ whose codes are residuals (by_residual), which mean nothing without "
                "its partitions: pass reencode=True to decode its vectors and encode them again with a codebook "
                "trained on them, which loses some accuracy; or build the index from the vectors, if you have them"
            )
        R, shift, metric = self._rotation_shift_metric()
        codewords = self.centroids[:, : self.Ks]
        if shift is not None:
            # ||A x + b - c|| = ||A x - (c - b)||
            codewords = (codewords.astype(np.float64) - shift.reshape(self.M, 1, -1)).astype(np.float32)
        if R is not None and R.shape[1] < R.shape[0]:
            R, codewords = with_dropped_dimensions(R, codewords)
        made: PQ | OPQ = PQ(self.M, self.Ks, metric, verbose=False)
        try:
            if R is not None:
                made = OPQ(self.M, self.Ks, metric, verbose=False)
                made.R = R
            made.codewords = np.array(codewords)  # ours, not a view of theirs
        except ValueError as error:
            raise InvalidQuantizerError(f"{self.where}: {error}") from error
        return made

    def _rotation_shift_metric(self) -> tuple[npt.NDArray[Any] | None, npt.NDArray[np.float64] | None, Metric]:
        if self.metric_type not in (INNER_PRODUCT, L2):
            raise UnsupportedIndexError(
                f"{self.where} has Faiss metric {self.metric_type}: pqstore has METRIC_L2 and METRIC_INNER_PRODUCT"
            )
        metric: Metric = "l2" if self.metric_type == L2 else "dot"
        R: npt.NDArray[Any] | None = None
        shift: npt.NDArray[np.float64] | None = None
        for transform in self.chain:
            if isinstance(transform, Normalization):
                if transform.norm != 2 or metric == "l2" or shift is not None:
                    raise UnsupportedIndexError(
                        f"{self.where} normalizes vectors by norm {transform.norm:g} before "
                        f"{'METRIC_L2' if metric == 'l2' else 'its quantizer'}: "
                        "pqstore normalizes by norm 2, first, for METRIC_INNER_PRODUCT (its metric 'cosine')"
                    )
                metric = "cosine"
                continue
            A = transform.A
            self._check_linear(A)
            R = A.T if R is None else (R.astype(np.float64) @ A.T).astype(np.float32)
            if shift is not None:
                shift = A.astype(np.float64) @ shift
            if transform.b is not None and transform.b.any():
                bias = transform.b.astype(np.float64)
                shift = bias if shift is None else shift + bias
        if shift is not None and metric != "l2":
            raise UnsupportedIndexError(
                f"{self.where} adds a bias before an inner product, which no codebook can hold: "
                "pqstore takes a bias with METRIC_L2 only"
            )
        return R, shift, metric

    def _check_linear(self, A: F32) -> None:
        """Raise `UnsupportedIndexError` unless a rotation, perhaps with fewer dimensions after it, does the same."""
        to, of = A.shape
        if to > of or (to < of and of % self.M):
            why = f"are more of them: {_BY_HAND}" if to > of else f"are not divided by M = {self.M}: {_BY_HAND}"
            raise UnsupportedIndexError(
                f"{self.where} takes vectors from {of} to {to} dimensions, and {to if to > of else of} {why}"
            )
        if not np.isfinite(A).all() or departure_from_orthonormal(A) > _LARGEST_DEPARTURE:
            raise UnsupportedIndexError(
                f"{self.where} has a linear transform from {of} to {to} dimensions that is no rotation: pqstore takes "
                "orthogonal ones; transform the vectors yourself and keep the plain PQ"
            )

    def code_blocks(self) -> Iterator[npt.NDArray[Any]]:
        """The codes in order of rows: (n, M) integers below Ks, n at most 2^18."""
        Ks = self.Ks
        for start in range(0, self.rows, BLOCK_ROWS):
            codes = self._unpacked(start, min(BLOCK_ROWS, self.rows - start))
            if Ks < 1 << self.nbits:
                codes[codes >= Ks] = 0  # padding codewords are copies of codeword 0
            yield codes

    def _unpacked(self, start: int, rows: int) -> npt.NDArray[Any]:
        if self.fast_scan is not None:
            vectors, M2 = self.fast_scan.block_vectors, self.fast_scan.M2
            size = vectors * M2 // 2
            first, last = start // vectors, -(-(start + rows) // vectors)
            codes = unpack_fast_scan(self.codes[first * size : last * size], self.M, M2, vectors)
            offset = start - first * vectors
            return codes[offset : offset + rows]
        size = row_bytes(self.M, self.nbits)
        packed = self.codes[start * size : (start + rows) * size].reshape(rows, size)
        codes = unpack_rows(packed, self.M, self.nbits)
        return codes.copy() if np.shares_memory(codes, packed) else codes

    def id_blocks(self) -> Iterator[npt.NDArray[np.int64]]:
        """The ids in order of rows, int64, in blocks as `code_blocks`; row numbers where the index has no ids."""
        for start in range(0, self.rows, BLOCK_ROWS):
            stop = min(start + BLOCK_ROWS, self.rows)
            yield np.arange(start, stop) if self.ids is None else np.array(self.ids[start:stop], dtype=np.int64)


def looked_up(where: str, numbers: npt.NDArray[np.int64], count: int) -> npt.NDArray[np.int64]:
    """The numbers that an IndexIVFPQ has its rows under, for use as rows of what lies around it.

    Raises:
        UnsupportedIndexError: one of them is none of `count` rows.
    """
    if len(numbers) and not 0 <= int(numbers.min()) <= int(numbers.max()) < count:
        raise UnsupportedIndexError(f"{where} numbers rows inside from {numbers.min()} to {numbers.max()}, of {count}")
    return numbers


def partitioned(
    centroids: F32, by_residual: bool, lists: list[tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]]
) -> dict[str, Any]:
    """Codes, ids and residuals of the inverted lists of an IndexIVFPQ, each (codes, ids), one after the other."""
    codes = [np.empty(0, dtype=np.uint8), *(codes.reshape(-1) for codes, _ in lists)]
    ids = [np.empty(0, dtype=np.int64), *(ids for _, ids in lists)]
    partitions = np.repeat(np.arange(len(lists)), [len(ids) for _, ids in lists])
    return {
        "rows": len(partitions),
        "codes": np.concatenate(codes),
        "ids": np.concatenate(ids).astype(np.int64, copy=False),
        "residuals": Residuals(centroids, partitions) if by_residual else None,
        "partitions": None if by_residual else np.array(centroids),
    }


def padded_codewords(quantizer: Quantizer) -> tuple[F32, int]:
    """Codewords (M, 2^nbits, Ds) and nbits. Faiss knows powers of two only: the rest are copies of codeword 0.

    A copy changes no distance: a code that named it would mean codeword 0.

    Raises:
        UnsupportedIndexError: more than 65,536 codewords.
    """
    codewords = quantizer.codewords
    if codewords is None or not quantizer.is_trained:
        raise NotTrainedError(f"this {quantizer.kind} is not trained: call fit(vectors) first")
    nbits = bits_for(quantizer.Ks)
    if nbits > 16:
        raise UnsupportedIndexError(f"Faiss takes codes of at most 16 bits; Ks = {quantizer.Ks} needs {nbits}")
    missing = (1 << nbits) - quantizer.Ks
    copies = np.repeat(codewords[:, :1], missing, axis=1)
    return np.concatenate((codewords, copies), axis=1), nbits
