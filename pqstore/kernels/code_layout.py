"""How codes lie in memory: the packed layouts that the scans read, and conversion to and from rows.

Three layouts, chosen by the number of codewords:

* ``block8`` (16 < Ks <= 256), one byte a code. Blocks of 32 vectors, shape (blocks, pairs, 2, 2, 16): the byte of
  vector ``32 b + 16 h + v`` in sub-space ``m`` is at ``[b, m // 2, h, m % 2, v]``. One 32-byte load holds the codes
  of 16 vectors in two sub-spaces, each in its own 128-bit lane, which is what a byte shuffle wants.
* ``block4`` (Ks <= 16), two codes a byte. Blocks of 32 vectors, shape (blocks, pairs, 2, 16): the byte at
  ``[b, m // 2, m % 2, v]`` holds vector ``32 b + v`` in its low and ``32 b + 16 + v`` in its high nibble.
* ``rows16`` / ``rows32`` (wider codes): plain little-endian rows.

In the block layouts an odd M is padded with one sub-space of zeros, and the last block with vectors of zeros.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["BLOCK_ROWS", "CodeLayout", "LayoutKind"]

BLOCK_ROWS = 32

LayoutKind = Literal["block8", "block4", "rows16", "rows32"]
U8: TypeAlias = npt.NDArray[np.uint8]
Codes: TypeAlias = npt.NDArray[Any]


def _kind_of(Ks: int) -> LayoutKind:
    if Ks <= 16:
        return "block4"
    if Ks <= 256:
        return "block8"
    return "rows16" if Ks <= 65_536 else "rows32"


@dataclass(frozen=True, slots=True)
class CodeLayout:
    """The packed layout of codes with `M` sub-spaces of `Ks` codewords.

    Packed codes of a multiple of 32 rows are a prefix of the packed codes of more rows, so packed pieces of such
    lengths can be joined end to end.
    """

    M: int
    Ks: int
    kind: LayoutKind = field(init=False, repr=False, compare=False)
    block_bytes: int = field(init=False, repr=False, compare=False)
    """Bytes of 32 rows."""
    _pairs: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # Worked out once: each change of an index asks for them many times.
        object.__setattr__(self, "kind", _kind_of(self.Ks))
        object.__setattr__(self, "_pairs", (self.M + 1) // 2)
        object.__setattr__(self, "block_bytes", self._bytes_of_32_rows())

    @property
    def table_size(self) -> int:
        """Entries a sub-space in the tables that a scan reads: every value that a packed code in blocks can take."""
        return {"block4": 16, "block8": 256}.get(self.kind, self.Ks)

    @property
    def code_dtype(self) -> np.dtype[Any]:
        """dtype of one code in rows, little-endian."""
        return np.dtype({"rows16": "<u2", "rows32": "<u4"}.get(self.kind, "u1"))

    def _bytes_of_32_rows(self) -> int:
        if self.kind == "block8":
            return 64 * self._pairs
        if self.kind == "block4":
            return 32 * self._pairs
        return BLOCK_ROWS * self.M * self.code_dtype.itemsize

    def packed_size(self, rows: int) -> int:
        """Bytes that `rows` rows take when packed."""
        if self.kind.startswith("block"):
            return -(-rows // BLOCK_ROWS) * self.block_bytes
        return rows * self.M * self.code_dtype.itemsize

    def pack(self, codes: Codes) -> U8:
        """Rows of codes (n, M) -> packed bytes, uint8 (packed_size(n),)."""
        rows = len(codes)
        if not self.kind.startswith("block"):
            return np.ascontiguousarray(codes, dtype=self.code_dtype).reshape(-1).view(np.uint8)
        blocks = -(-rows // BLOCK_ROWS)
        if rows == BLOCK_ROWS * blocks and 2 * self._pairs == self.M:
            padded = np.ascontiguousarray(codes, dtype=np.uint8)
        else:
            padded = np.zeros((blocks * BLOCK_ROWS, 2 * self._pairs), dtype=np.uint8)
            padded[:rows, : self.M] = codes
        halves = padded.reshape(blocks, 2, 16, self._pairs, 2)  # block, half, vector, pair, parity
        if self.kind == "block8":
            return halves.transpose(0, 3, 1, 4, 2).reshape(-1)
        return (halves[:, 0] | (halves[:, 1] << 4)).transpose(0, 2, 3, 1).reshape(-1)

    def unpack(self, packed: U8, rows: int) -> Codes:
        """Packed bytes -> rows of codes (rows, M); a new array of `code_dtype`."""
        if not self.kind.startswith("block"):
            return packed[: self.packed_size(rows)].view(self.code_dtype).reshape(rows, self.M).copy()
        blocks = -(-rows // BLOCK_ROWS)
        packed = packed[: blocks * self.block_bytes]
        if self.kind == "block8":
            by_block = packed.reshape(blocks, self._pairs, 2, 2, 16).transpose(0, 2, 4, 1, 3)
        else:
            bytes_ = packed.reshape(blocks, self._pairs, 2, 16)
            by_block = np.stack((bytes_ & 15, bytes_ >> 4), axis=1).transpose(0, 1, 4, 2, 3)
        return np.ascontiguousarray(by_block.reshape(blocks * BLOCK_ROWS, 2 * self._pairs)[:rows, : self.M])

    def gather(self, packed: U8, positions: npt.NDArray[np.integer[Any]]) -> Codes:
        """The codes of the rows at `positions`, (len(positions), M)."""
        positions = np.asarray(positions, dtype=np.int64)
        if not self.kind.startswith("block"):
            return packed.view(self.code_dtype).reshape(-1, self.M)[positions]
        block, lane = positions[:, None] >> 5, positions[:, None] & 31
        m = np.arange(self.M)[None, :]
        if self.kind == "block8":
            offset = block * self.block_bytes + (m >> 1) * 64 + (lane >> 4) * 32 + (m & 1) * 16 + (lane & 15)
            return packed[offset]
        nibbles = packed[block * self.block_bytes + (m >> 1) * 32 + (m & 1) * 16 + (lane & 15)]
        return ((nibbles >> ((lane >> 4) * 4).astype(np.uint8)) & 15).astype(np.uint8)
