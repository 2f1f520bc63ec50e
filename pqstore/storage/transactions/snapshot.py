"""One consistent state of an index, read under one transaction."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from pqstore.arrays import I64, U8
from pqstore.storage.attachments.field_column import FieldColumn
from pqstore.storage.attachments.payload_records import Unreadable
from pqstore.storage.format.catalog import Catalog
from pqstore.storage.format.state import IdType
from pqstore.storage.rows.column_records import RowUnit, StoredChunk
from pqstore.storage.transactions.attachment_reads import AttachmentReads
from pqstore.storage.transactions.committed import CommittedRecords
from pqstore.storage.transactions.id_lookup import IdLookup
from pqstore.storage.transactions.id_order import rows_by_id
from pqstore.storage.transactions.open_index import Lease
from pqstore.storage.transactions.row_reads import RowReads

__all__ = ["Snapshot"]


class Snapshot:
    """Reads of one state. Several threads may use one snapshot. Nothing that a method returns points into the file,
    except the codes of `chunks()`, which must not be used after the snapshot is closed."""

    def __init__(self, records: CommittedRecords, lease: Lease | None) -> None:
        """Without a lease it sees what a write transaction has begun with, and ends with that."""
        self.records = records
        self.rows = RowReads(records)
        self._lookup: IdLookup | None = None  # made when it is first used
        self._attachments: AttachmentReads | None = None
        self._lease = lease

    def __enter__(self) -> Snapshot:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the transaction; views of `chunks()` die."""
        lease, self._lease = self._lease, None
        if lease is not None:
            self.records.close()
            lease.end()

    def check(self) -> None:
        """Raise `IndexClosedError` when it is closed, `ForkedIndexError` in a forked child."""
        self.records.check()

    @property
    def closed(self) -> bool:
        return self.records.closed

    @property
    def version(self) -> int:
        """The number of the commit that this snapshot shows; grows with every commit, through compactions too."""
        return self.records.state.commit

    @property
    def live_rows(self) -> int:
        """Rows that are stored and not dead."""
        self.records.check()
        return self.records.state.live_rows

    @property
    def total_rows(self) -> int:
        """Rows that are stored, dead ones too."""
        return self.rows.total_count

    @property
    def id_type(self) -> IdType:
        """ "int64" or "str"."""
        return self.records.schema.identity.id_type

    @property
    def catalog(self) -> Catalog:
        """Names, fields, notes and sets."""
        self.records.check()
        return self.records.catalog

    @property
    def memo(self) -> dict[Any, Any]:
        """What the index room has worked out of this committed state; shared by all snapshots of it."""
        return self.records.cached.derived

    def chunks(self) -> tuple[StoredChunk, ...]:
        """Packed codes of all stored rows in row order, zero-copy; for use before the snapshot is closed."""
        self.records.check()
        return self.records.cached.chunks or self.records.chunks()

    def codes_of(self, rows: npt.ArrayLike) -> npt.NDArray[Any]:
        """Stored labels (n, M) of rows that exist."""
        return self.rows.codes_of(rows)

    def ids_of(self, rows: npt.ArrayLike) -> npt.NDArray[Any]:
        """Ids of rows of any shape, which exist or are -1: int64, or objects of type str; -1, or None, for row -1."""
        return self.rows.ids_of(rows)

    def iter_ids(self, block: int = 65_536) -> Iterator[npt.NDArray[Any]]:
        """Ids of all live rows in row order, at most `block` at a time."""
        return self.rows.iter_ids(block)

    def rows_by_id(self, after: Any, count: int, among: I64 | None = None) -> I64:
        """The first `count` live rows whose ids come after this id (None: from the start), in the order of ids, which
        nothing changes: int64 ids ascend, str ids come in the order of their keys. `among`: only these rows, which are
        live and ascend."""
        return rows_by_id(self.records, after, count, among)

    def rows_of(self, ids: Any) -> I64:
        """Row of every id, int64 (n,); -1 where no live row has it."""
        if self._lookup is None:
            self._lookup = IdLookup(self.records)
        return self._lookup.rows_of(ids)

    @property
    def attachments(self) -> AttachmentReads:
        """What hangs on rows."""
        if self._attachments is None:
            self._attachments = AttachmentReads(self.records)
        return self._attachments

    def originals_of(self, rows: npt.ArrayLike) -> U8:
        """The originals of rows that exist, uint8 (n, row_bytes). Raises `CorruptIndexError` naming a damaged row."""
        return self.attachments.originals_of(rows)

    def payloads_of(self, rows: npt.ArrayLike, unreadable: Unreadable | None = None) -> list[dict[str, Any] | None]:
        """The payloads of rows that exist; None for a row without one. `unreadable` is told of those that cannot be
        read; without it they raise `CorruptIndexError`."""
        return self.attachments.payloads_of(rows, unreadable)

    def payload_items(
        self, start: int, wanted: npt.NDArray[np.bool_], unreadable: Unreadable | None = None
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        """(row, payload) of those that have one of the rows from `start` on that are wanted."""
        return self.attachments.payload_items(start, wanted, unreadable)

    def saved_set(self, name: str) -> npt.NDArray[Any] | None:
        """The ids of a saved set, ascending; None when there is no set of this name."""
        return self.attachments.saved_set(name)

    def units(self) -> list[RowUnit]:
        """All rows that are stored, in the pieces that columns cover; one for each of `chunks()`."""
        return self.attachments.units()

    def column(self, unit: RowUnit, number: int) -> FieldColumn:
        """The column of a declared field over a unit."""
        return self.records.column(unit, number)
