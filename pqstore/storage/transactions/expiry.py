"""The field that says when rows end: declared, and taken away again."""

from __future__ import annotations

from pqstore.storage.attachments.ends import others_than_ends
from pqstore.storage.disk.lmdb_errors import storage_errors
from pqstore.storage.format import records
from pqstore.storage.rows.tombstones import live_positions
from pqstore.storage.transactions.features import declare_feature
from pqstore.storage.transactions.write import WriteTransaction

__all__ = ["row_without_end", "set_expiry"]


def set_expiry(txn: WriteTransaction, field: str | None) -> None:
    """Let rows end by a field of the catalog, whose values are datetimes or null; None: they end no more."""
    pending = txn.records
    pending.check()
    number = None if field is None else pending.catalog.fields.index(field)
    if number != pending.state.expiry:
        with storage_errors(pending.generation.index):
            declare_feature(pending, records.EXPIRY, there=number is not None)
        pending.state = pending.state._replace(expiry=number)


def row_without_end(txn: WriteTransaction, field: str) -> int | None:
    """A live row whose value of a field of the catalog is neither a datetime nor null; None: there is none."""
    number, geometry = txn.records.catalog.fields.index(field), txn.schema.geometry
    for first_row, column in txn.attachment_writes.columns(number):
        segment, position = geometry.locate(first_row)
        others, dead = others_than_ends(column), txn.records.bitmap(segment)
        if dead is not None:
            others &= ~dead[position // 8 : position // 8 + len(others)]
        if others.any():
            return first_row + int(live_positions(~others, column.rows)[0])
    return None
