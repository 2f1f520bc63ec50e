"""Originals as bytes: float32 and float16 as they are, int8 with a scale and an offset for each vector."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np

from pqstore.arrays import F32, U8
from pqstore.errors import InvalidVectorError
from pqstore.kernels import OriginalKind, as_halves, decode_originals

__all__ = ["OriginalKind", "OriginalSpace", "as_original_kind"]


_INT8_EXTRA = 8  # scale and offset, float32
_LEVELS = 255


def as_original_kind(value: Any) -> OriginalKind | None:
    """Check the argument `originals`.

    Raises:
        ValueError: it is none of those allowed.
    """
    if value is not None and value not in get_args(OriginalKind):
        raise ValueError(f"originals must be None or one of {', '.join(get_args(OriginalKind))}, got {value!r}")
    return value


@dataclass(frozen=True, slots=True)
class OriginalSpace:
    """How the originals of an index are stored."""

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
        return decode_originals(self.kind, self.D, stored)


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
