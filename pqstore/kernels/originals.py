"""Vectors as an index stores them beside their codes: encoded, decoded, and scored against a query.

Compiled where there is a compiled module, to the bits of `pqstore.kernels.reference.originals`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pqstore.arrays import F16, F32, F64, I64, U8
from pqstore.errors import InvalidVectorError
from pqstore.kernels.chunk import OriginalKind
from pqstore.kernels.dispatch import active
from pqstore.kernels.reference.originals import decode_originals, exact_distances, unit_length
from pqstore.native import native_module

__all__ = ["OriginalFormat", "as_halves", "nearest_originals", "nearest_stored", "unit_length"]

_INT8_EXTRA = 8  # scale and offset, float32
_LEVELS = 255
_CANDIDATES = 1 << 20  # that are looked up at a time


@dataclass(frozen=True, slots=True)
class OriginalFormat:
    """Vectors of D values as bytes: float32 and float16 as they are, int8 with a scale and an offset for each."""

    kind: OriginalKind
    D: int

    @property
    def row_bytes(self) -> int:
        """Bytes of one vector."""
        if self.kind == "int8":
            return self.D + _INT8_EXTRA
        return (4 if self.kind == "float32" else 2) * self.D

    def encode(self, vectors: F32) -> U8:
        """Vectors float32 (n, D) -> uint8 (n, row_bytes).

        Raises:
            InvalidVectorError: a value is beyond float16, with kind "float16".
        """
        encoder: dict[str, Callable[[F32], U8]] = {"float32": _as_float32, "float16": _as_float16, "int8": _as_int8}
        return encoder[self.kind](vectors)

    def decode(self, stored: U8) -> F32:
        """uint8 (n, row_bytes) -> vectors float32 (n, D)."""
        native = native_module()
        if native is None or active().name == "numpy":
            return decode_originals(self.kind, self.D, stored)
        vectors = np.empty((len(stored), self.D), dtype=np.float32)
        native.decode(self.kind, np.ascontiguousarray(stored), vectors)
        return vectors

    def nearest(self, metric: str, stored: U8, places: I64, rows: I64, query: F64, k: int) -> tuple[F32, I64]:
        """`nearest_originals` of this format."""
        return nearest_originals(self.kind, metric, stored, places, rows, query, k)

    def nearest_stored(
        self, metric: str, files: dict[int, U8], segment_rows: int, rows: I64, queries: F64, k: int, threads: int
    ) -> tuple[F32, I64] | None:
        """`nearest_stored` of this format."""
        return nearest_stored(self.kind, metric, files, segment_rows, rows, queries, k, threads)


def _as_float32(vectors: F32) -> U8:
    return np.ascontiguousarray(vectors, dtype="<f4").view(np.uint8)


def _as_float16(vectors: F32) -> U8:
    halves, finite = as_halves(vectors)
    if not finite:
        row, column = (int(at) for at in np.argwhere(~np.isfinite(halves))[0])
        raise InvalidVectorError(
            f"value {vectors[row, column]} in column {column} is beyond float16, in which this index stores originals: "
            "scale the vectors, or create the index with originals='float32'"
        )
    return halves.view(np.uint8)


def _as_int8(vectors: F32) -> U8:
    """Each vector over its own range in 256 steps: value = offset + scale * level.

    Whole numbers that span at most 255 get the scale 1, and are exact: SIFT and other uint8 data.
    """
    wide = vectors.astype(np.float64)
    offset = wide.min(axis=1)
    span = wide.max(axis=1) - offset
    whole = (span <= _LEVELS) & (np.abs(offset) < 2**24) & (vectors == np.rint(vectors)).all(axis=1)
    scale = np.where(whole, 1.0, span / _LEVELS).astype("<f4")
    offsets = offset.astype("<f4")
    divisor = np.where(scale > 0, scale, 1).astype(np.float64)
    levels = np.rint((wide - offsets.astype(np.float64)[:, None]) / divisor[:, None]).clip(0, _LEVELS).astype(np.uint8)
    return np.concatenate((levels, np.stack((scale, offsets), axis=1).view(np.uint8).reshape(len(vectors), -1)), axis=1)


def nearest_originals(
    kind: OriginalKind, metric: str, stored: U8, places: I64, rows: I64, query: F64, k: int
) -> tuple[F32, I64]:
    """The k nearest of the candidates ``stored[places]``: distances float32 (k,) and their `rows`, nearest first, equal
    distances by row.

    Args:
        kind: What the bytes of `stored`, uint8 (n, row_bytes), mean; see `decode_originals`.
        metric: "l2", "dot" or "cosine"; see `pqstore.kernels.reference.originals.exact_distances`.
        places: int64 (c,), which of `stored` are candidates.
        rows: int64 (c,), the row number of each.
        query: float64 (D,); of length 1 for "cosine".
        k: At most c.
    """
    native, name = native_module(), active().name
    if native is not None and name != "numpy":
        distances, nearest = np.empty(k, dtype=np.float32), np.empty(k, dtype=np.int64)
        native.nearest_of(kind, metric, stored, places, rows, query, name == "portable", distances, nearest)
        return distances, nearest
    exact = exact_distances(metric, decode_originals(kind, len(query), stored[places]), query)
    order = np.lexsort((rows, exact if metric == "l2" else -exact))[:k]
    return exact[order], rows[order]


def nearest_stored(
    kind: OriginalKind,
    metric: str,
    files: dict[int, U8],
    segment_rows: int,
    rows: I64,
    queries: F64,
    k: int,
    threads: int = 1,
) -> tuple[F32, I64] | None:
    """The k nearest of each query's candidates where they lie in files: distances float32 (n, k) and rows int64 (n, k),
    nearest first, equal distances by row, padded with infinity and -1.

    None: there is no compiled module, a row is in no file, or its checksum does not match its bytes.

    Args:
        kind: As of `nearest_originals`, `metric` and `queries` float64 (n, D) too.
        files: By segment: uint8 (rows, row_bytes + 4), each row followed by its CRC-32, begun with its number.
        segment_rows: How many rows a segment has.
        rows: int64 (n, c), candidates of each query; -1 where there are fewer. None twice.
        k: How many are wanted.
        threads: Share the queries.
    """
    native, name = native_module(), active().name
    if native is None or name == "numpy":
        return None
    distances, nearest = np.empty((len(rows), k), dtype=np.float32), np.empty((len(rows), k), dtype=np.int64)
    step = max(1, _CANDIDATES // max(1, rows.shape[1]))
    for start in range(0, len(rows), step):
        part = slice(start, start + step)
        out = distances[part], nearest[part]
        asked = files, segment_rows, rows[part], queries[part]
        if not native.nearest_stored(kind, metric, *asked, name == "portable", threads, *out):
            return None
    return distances, nearest


def as_halves(vectors: F32) -> tuple[F16, bool]:
    """Finite float32 (n, D) -> float16, rounded to even, and whether all are finite still."""
    native = native_module()
    if native is not None and active().name != "numpy" and vectors.flags.c_contiguous:
        halves = np.empty(vectors.shape, dtype=np.uint16)
        finite = native.to_halves(vectors, halves)
        if finite is not None:
            return halves.view(np.float16), finite
    with np.errstate(over="ignore"):
        rounded = np.ascontiguousarray(vectors).astype("<f2")
    return rounded, bool(np.isfinite(rounded).all())
