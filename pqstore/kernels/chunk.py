"""A piece of the index as a scan sees it: packed codes or stored originals, and which of them are dead."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["CodeChunk", "OriginalChunk", "OriginalKind"]

OriginalKind = Literal["float32", "float16", "int8"]


class CodeChunk(NamedTuple):
    """Rows ``first_row .. first_row + rows - 1``, packed by a `CodeLayout`."""

    packed: npt.NDArray[np.uint8]
    """uint8 1-D, at least ``layout.packed_size(rows)`` bytes; may be read-only and at any address."""
    rows: int
    first_row: int
    dead: npt.NDArray[np.uint8] | None = None
    """Bitmap uint8 of at least ``ceil(rows / 8)`` bytes, lowest bit first; 1: passed over. None: no row is."""


class OriginalChunk(NamedTuple):
    """Rows ``first_row .. first_row + len(stored) - 1``, as `decode_originals` reads them."""

    stored: npt.NDArray[np.uint8]
    """uint8 (rows, row_bytes); may be read-only, at any address, and have gaps between its rows."""
    first_row: int
    dead: npt.NDArray[np.uint8] | None = None
    """As of a `CodeChunk`."""
