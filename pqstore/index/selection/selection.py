"""Which rows a search may return, in the forms that searches take them in, each made when first asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from pqstore.arrays import I64, U8
from pqstore.index.reading import Reading
from pqstore.index.selection.row_masks import masks_of, rows_of_masks
from pqstore.kernels import CodeChunk
from pqstore.storage import RowUnit

__all__ = ["Selection"]

# With at most one row of so many allowed, fetching codes is quicker than scanning (benchmarks/search/filters.py).
_GATHER_COST = 20
_GATHER_BYTES = 8 << 20
# Codes that were fetched are kept. For a filter that is used again and again that pays with more rows, too: as soon as
# its scans have cost as much as the fetching would. Of so many bytes, since many selections are kept.
_KEPT_BYTES = 2 << 20


@dataclass(slots=True)
class Selection:
    """The live rows that are allowed: as bitmaps by unit (units without any are left out), as numbers, or both."""

    units: Sequence[RowUnit]
    count: int
    _masks: dict[int, U8] | None = None
    _rows: I64 | None = None
    indexed: tuple[str, ...] = ()
    """Fields answered by their index."""
    scanned: tuple[str, ...] = ()
    """Fields for which payloads were read."""
    payloads_read: int = 0
    complaints: tuple[str, ...] = ()
    """Comparisons of the filter that find nothing, since their fields never have values of such kinds."""
    unknown: tuple[str, ...] = ()
    """Fields of the filter that no payload ever had."""
    unreadable: str | None = None
    """What to say of payloads that the filter could not read."""
    _chunks: list[CodeChunk] | None = None
    _codes: npt.NDArray[Any] | None = None
    _prepared: Any = None
    _gathered: Any = None
    _rows_and_none: I64 | None = None
    _gathers: bool | None = None
    _scanned: int = 0
    kept: dict[Any, Any] = field(default_factory=dict)
    """What others have worked out of it."""
    part_of: Selection | None = None
    """The selection by filter that this one was made from."""

    def take_story_of(self, other: Selection) -> None:
        """Say of this selection how another was found, out of which it was made."""
        self.indexed, self.scanned, self.payloads_read = other.indexed, other.scanned, other.payloads_read
        self.complaints, self.unknown, self.unreadable = other.complaints, other.unknown, other.unreadable

    @property
    def masks(self) -> dict[int, U8]:
        """Bitmaps by place in `units`, 1: allowed."""
        if self._masks is None:
            assert self._rows is not None
            self._masks = masks_of(self.units, self._rows)
        return self._masks

    def may_gather(self, reading: Reading) -> bool:
        """Whether so few rows are allowed that their codes can be fetched one by one and kept."""
        size = self.count * reading.space.row_cost
        return size <= (_GATHER_BYTES if self._is_few(reading) else _KEPT_BYTES)

    def gathers(self, reading: Reading, queries: int = 0) -> bool:
        """Whether codes are better fetched one by one than scanned, for so many queries; 0: as it was decided last."""
        if not self._gathers and (queries or self._gathers is None):
            scanned = self._scanned + max(1, queries) * reading.snapshot.total_rows
            self._gathers = self.may_gather(reading) and self.count * _GATHER_COST <= scanned
            self._scanned = scanned
        return bool(self._gathers)

    def _is_few(self, reading: Reading) -> bool:
        return self.count * _GATHER_COST <= reading.snapshot.total_rows

    def chunks(self, reading: Reading) -> list[CodeChunk]:
        """What is left to scan: chunks with an allowed row, all others of their rows marked as dead."""
        if self._chunks is None:
            every = reading.snapshot.chunks()
            self._chunks = [
                CodeChunk(every[at].packed, every[at].rows, every[at].first_row, ~mask)
                for at, mask in self.masks.items()
            ]
        return self._chunks

    def prepared(self, reading: Reading) -> Any:
        """The chunks, ready to be searched."""
        if self._prepared is None:
            self._prepared = reading.space.prepared(self.chunks(reading))
        return self._prepared

    def gathered(self, reading: Reading) -> Any:
        """The codes of the rows, fetched one by one, as a chunk ready to be searched: its row i is ``rows()[i]``."""
        if self._gathered is None:
            self._gathered = reading.space.gathered(self.codes(reading))
        return self._gathered

    def rows(self) -> I64:
        """The rows, ascending."""
        if self._rows is None:
            self._rows = rows_of_masks(self.units, self.masks)
        return self._rows

    def rows_at(self, places: I64) -> I64:
        """The rows at places in `rows`, of any shape; -1 stays -1."""
        if self._rows_and_none is None:
            self._rows_and_none = np.append(self.rows(), -1)
        return self._rows_and_none[places]

    def codes(self, reading: Reading) -> npt.NDArray[Any]:
        """Stored labels (count, M) of the rows."""
        if self._codes is None:
            self._codes = reading.snapshot.codes_of(self.rows())
        return self._codes
