"""Originals, payloads and saved sets of a damaged index, for its repair: what is sound, row by row."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pqstore.arrays import I64, U8
from pqstore.errors import CorruptIndexError, InvalidPayloadError
from pqstore.storage.attachments.original_files import OriginalFiles
from pqstore.storage.attachments.payload_records import PayloadRecord, payloads_of, unpack_payload
from pqstore.storage.attachments.plain_values import plain_payload
from pqstore.storage.attachments.saved_sets import join_set
from pqstore.storage.format import records
from pqstore.storage.format.catalog import Catalog
from pqstore.storage.limits import Limits
from pqstore.storage.repair.records import FoundRecords
from pqstore.storage.repair.report import RepairReport
from pqstore.storage.rows.schema import Schema

__all__ = ["AttachmentSalvage"]

_ROWS = 1 << 63  # rows are int64


class AttachmentSalvage:
    """What rows bring with them into the repaired index."""

    def __init__(
        self, generation: Path, found: FoundRecords, schema: Schema, limits: Limits, report: RepairReport
    ) -> None:
        record = found.sound.get((records.CATALOG, 0, 0))
        self.catalog = Catalog()
        try:
            if record is not None:
                self.catalog = Catalog.from_record(record)
        except CorruptIndexError as error:
            report.losses.append(str(error))
            record = None
        self._originals = OriginalFiles(generation)
        self._schema = schema
        self._limits = limits
        self._payloads_by_row = {
            first_row: at for (first_row, _), at in found.of_kind(records.PAYLOADS).items() if first_row < _ROWS
        }
        self._starts = np.array(sorted(self._payloads_by_row), dtype=np.int64)
        self._sets = found.of_kind(records.SET_CHUNK)
        self._report = report
        if record is None:  # nobody knows what they mean
            report.losses.append("the catalog is damaged: payloads, indexes of fields and sets are lost")

    def of(self, rows: I64) -> tuple[npt.NDArray[np.bool_], U8 | None, list[Any] | None]:
        """(which rows can be kept, their originals, their payloads)."""
        keep = np.ones(len(rows), dtype=np.bool_)
        originals = None
        size, segment_rows = self._schema.identity.row_bytes, self._schema.geometry.segment_rows
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

    def sets(self) -> Iterator[tuple[str, npt.NDArray[Any]]]:
        """(name, ids) of the sets that are whole: less of one would allow or deny what nobody meant."""
        missing = records.Record(0, -1, memoryview(b""))
        for name, saved in self.catalog.sets.items():

            def chunk(ordinal: int, number: int = saved.number) -> records.Record:
                return self._sets.get((number, ordinal), missing)

            try:
                yield name, join_set(chunk, self._schema.codec, saved, self._limits.set_chunk_ids)
            except CorruptIndexError as error:
                self._report.losses.append(f"{error}: the set {name!r} is lost")

    def _payloads(self, rows: I64) -> list[Any] | None:
        first = self.catalog.payloads_from
        if first is None:
            return None
        found: list[Any] = [None] * len(rows)
        missing = 0
        holders = np.searchsorted(self._starts, rows, side="right") - 1
        for at, (row, holder) in enumerate(zip(rows.tolist(), holders.tolist(), strict=True)):
            if row < first:
                continue
            try:
                record = None if holder < 0 else self._record(int(self._starts[holder]))
                if record is None or row >= record.stop:
                    missing += 1
                    continue
                content = record.of(row)
                if len(content):
                    found[at] = plain_payload(unpack_payload(content, row, self.catalog.names), row)
            except (CorruptIndexError, InvalidPayloadError) as error:
                self._report.losses.append(f"{error}: the payload is lost")
        if missing:
            self._report.losses.append(f"records are damaged or missing: the payloads of {missing} rows are lost")
        return found

    def _record(self, first_row: int) -> PayloadRecord:
        return payloads_of(self._payloads_by_row[first_row], first_row)
