"""The row packing of an index that is exact: its codes are the vectors themselves, one after another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pqstore.arrays import F32, U8

__all__ = ["VectorPacking"]

_FLOAT32 = np.dtype("<f4")


@dataclass(frozen=True, slots=True)
class VectorPacking:
    """`pqstore.storage.RowPacking` for float32 vectors of D values."""

    D: int

    @property
    def row_bytes(self) -> int:
        """Bytes of a vector."""
        return _FLOAT32.itemsize * self.D

    def packed_size(self, rows: int) -> int:
        return rows * self.row_bytes

    def pack(self, codes: npt.NDArray[Any]) -> U8:
        return np.ascontiguousarray(codes, dtype=_FLOAT32).view(np.uint8).reshape(-1)

    def unpack(self, packed: U8, rows: int) -> F32:
        return self.rows_of(packed, rows).view(_FLOAT32).astype(np.float32, copy=False)

    def extend(self, packed: U8, rows: int, codes: npt.NDArray[Any]) -> U8:
        return np.concatenate((packed[: self.packed_size(rows)], self.pack(codes)))

    def gather(self, packed: U8, positions: npt.NDArray[Any]) -> F32:
        rows = self.rows_of(packed, len(packed) // self.row_bytes)[positions]
        return np.ascontiguousarray(rows).view(_FLOAT32).astype(np.float32, copy=False)

    def rows_of(self, packed: U8, rows: int) -> U8:
        """The bytes of each vector, uint8 (rows, row_bytes), as a view."""
        return packed[: self.packed_size(rows)].reshape(rows, self.row_bytes)
