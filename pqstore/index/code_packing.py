"""The row packing that the store is handed: the packed layout, by the fastest kernels there are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pqstore.arrays import U8
from pqstore.kernels import BLOCK_ROWS, CodeLayout, active

__all__ = ["CodePacking"]


@dataclass(frozen=True, slots=True)
class CodePacking:
    """`pqstore.storage.RowPacking` for the codes of one layout."""

    layout: CodeLayout

    def packed_size(self, rows: int) -> int:
        return self.layout.packed_size(rows)

    def pack(self, codes: npt.NDArray[Any]) -> U8:
        return active().pack(self.layout, codes)

    def unpack(self, packed: U8, rows: int) -> npt.NDArray[Any]:
        return active().unpack(self.layout, packed, rows)

    def extend(self, packed: U8, rows: int, codes: npt.NDArray[Any]) -> U8:
        kernels, whole = active(), rows - rows % BLOCK_ROWS
        start = self.packed_size(whole)
        partial = kernels.unpack(self.layout, packed[start:], rows - whole)  # the last block alone is packed anew
        return np.concatenate((packed[:start], kernels.pack(self.layout, np.concatenate((partial, codes)))))

    def gather(self, packed: U8, positions: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return self.layout.gather(packed, positions)
