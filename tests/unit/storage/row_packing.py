"""A packing for tests of the storage: plain rows, padded to blocks of 32."""

from __future__ import annotations

import numpy as np


class RowPacking:
    def __init__(self, width: int = 8, dtype: str = "u1") -> None:
        self.width = width
        self.dtype = np.dtype(dtype)
        self.row_bytes = width * self.dtype.itemsize

    def packed_size(self, rows: int) -> int:
        return -(-rows // 32) * 32 * self.row_bytes

    def pack(self, codes: np.ndarray) -> np.ndarray:
        packed = np.zeros(self.packed_size(len(codes)), dtype=np.uint8)
        packed[: len(codes) * self.row_bytes] = np.ascontiguousarray(codes, dtype=self.dtype).view(np.uint8).reshape(-1)
        return packed

    def unpack(self, packed: np.ndarray, rows: int) -> np.ndarray:
        return packed[: rows * self.row_bytes].view(self.dtype).reshape(rows, self.width).copy()

    def extend(self, packed: np.ndarray, rows: int, codes: np.ndarray) -> np.ndarray:
        return self.pack(np.concatenate((self.unpack(packed, rows), codes)))

    def gather(self, packed: np.ndarray, positions: np.ndarray) -> np.ndarray:
        return packed.view(self.dtype).reshape(-1, self.width)[positions]
