"""Originals and payloads of a damaged index, for its repair: what is sound, row by row."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pqstore.errors import CorruptIndexError
from pqstore.storage import layout
from pqstore.storage.catalog import Catalog
from pqstore.storage.layout import I64, U8
from pqstore.storage.originals import OriginalFiles
from pqstore.storage.payloads import unpack_payload
from pqstore.storage.state import Identity

if TYPE_CHECKING:
    from pqstore.storage.repair import RepairReport

__all__ = ["AttachmentSalvage"]


class AttachmentSalvage:
    """What rows bring with them into the repaired index."""

    def __init__(
        self,
        generation: Path,
        identity: Identity,
        catalog: Catalog | None,
        payload: Callable[[bytes], memoryview | None] | None,
        report: RepairReport,
    ) -> None:
        """`payload` gives the stored value of a key; None: the trees are damaged, and payloads cannot be found."""
        self.catalog = catalog or Catalog()
        self._originals = OriginalFiles(generation)
        self._identity = identity
        self._payload = payload if catalog is not None else None
        self._report = report
        if catalog is None:
            report.losses.append("the catalog is damaged: payloads and indexes of fields are lost")
        elif payload is None and catalog.names:
            report.losses.append("payloads cannot be found without the trees of the data file: they are lost")

    def of(self, rows: I64) -> tuple[npt.NDArray[np.bool_], U8 | None, list[Any] | None]:
        """(which rows can be kept, their originals, their payloads)."""
        keep = np.ones(len(rows), dtype=np.bool_)
        originals = None
        size, segment_rows = self._identity.row_bytes, self._identity.segment_rows
        if size:
            damaged = self._originals.damaged(rows, size, segment_rows)
            for at in damaged.tolist():
                self._report.losses.append(
                    f"the original of row {int(rows[at])} is damaged or missing: the row is lost"
                )
            self._report.rows_lost += len(damaged)
            keep[damaged] = False
            originals = self._originals.gather(rows[keep], size, segment_rows)
        return keep, originals, self._payloads(rows[keep])

    def _payloads(self, rows: I64) -> list[Any] | None:
        if self._payload is None:
            return None
        found: list[Any] = []
        for row in rows.tolist():
            value = self._payload(layout.key1(row))
            try:
                found.append(None if value is None else unpack_payload(value, row, self.catalog.names))
            except CorruptIndexError as error:
                self._report.losses.append(f"{error}: the payload is lost")
                found.append(None)
        return found
