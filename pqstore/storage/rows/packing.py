"""What the storage must know of packed codes; implemented by `pqstore.kernels.code_layout`."""

from __future__ import annotations

from typing import Any, Protocol

import numpy.typing as npt

from pqstore.arrays import I64, U8

__all__ = ["RowPacking", "chunk_rows_for", "segment_rows_for"]


class RowPacking(Protocol):
    """Codes of rows as bytes. The packed form of a multiple of 32 rows is a prefix of that of more rows."""

    def packed_size(self, rows: int) -> int:
        """Bytes that `rows` rows take."""

    def pack(self, codes: npt.NDArray[Any]) -> U8:
        """(n, M) -> uint8 1-D."""

    def unpack(self, packed: U8, rows: int) -> npt.NDArray[Any]:
        """uint8 1-D -> (rows, M)."""

    def extend(self, packed: U8, rows: int, codes: npt.NDArray[Any]) -> U8:
        """Packed form of the `rows` rows in `packed` and then `codes`."""

    def gather(self, packed: U8, positions: I64) -> npt.NDArray[Any]:
        """The rows at these positions, (len(positions), M)."""


def segment_rows_for(packing: RowPacking) -> int:
    """Rows of a segment: 65,536, or fewer, down to 1,024, so that its codes stay within 4 MiB."""
    rows = 65_536
    while rows > 1024 and packing.packed_size(rows) > 4 << 20:
        rows //= 2
    return rows


def chunk_rows_for(packing: RowPacking) -> int:
    """Rows of a tail chunk, which every small commit writes anew: 1,024 down to 32, within 64 KiB."""
    rows = 1024
    while rows > 32 and packing.packed_size(rows) > 64 << 10:
        rows //= 2
    return rows
