"""The payload field that says when vectors expire: changes for a transaction, their arguments checked before."""

from __future__ import annotations

from collections.abc import Callable

from pqstore.errors import InvalidPayloadError
from pqstore.index.settings import as_fields
from pqstore.index.unreadable import UnreadablePayloads
from pqstore.storage import Snapshot, WriteTransaction, field_name, row_without_end, set_expiry, stored_field, value_at

__all__ = ["as_expiry", "expiry_of", "setting_of_expiry"]


def as_expiry(field: str | None) -> str | None:
    """Check the name of a field of ends.

    Raises:
        TypeError, ValueError: it is no name that a filter could use.
    """
    if field is None:
        return None
    if not isinstance(field, str):
        raise TypeError(f"the field that says when vectors expire is a name (str), got {type(field).__name__}")
    (name,) = as_fields(field)
    return name


def expiry_of(state: Snapshot) -> str | None:
    """The field that says when vectors expire, as it was named."""
    number = state.records.state.expiry
    return None if number is None else field_name(state.catalog.fields[number])


def setting_of_expiry(field: str | None) -> Callable[[WriteTransaction], None]:
    """The change that `pqstore.Index.set_expiry` makes."""
    name = as_expiry(field)

    def change(txn: WriteTransaction) -> None:
        if name is None:
            set_expiry(txn, None)
            return
        stored = stored_field(name)
        unreadable = UnreadablePayloads(txn.rows.ids_of)
        txn.declare_field(stored, unreadable)
        unreadable.warn()
        row = row_without_end(txn, stored)
        if row is not None:
            _refuse(txn, row, name)
        set_expiry(txn, stored)

    return change


def _refuse(txn: WriteTransaction, row: int, name: str) -> None:
    (identifier,) = txn.rows.ids_of([row]).tolist()
    (payload,) = txn.attachments.payloads_of([row])
    kind = type(value_at(payload or {}, name)).__name__
    raise InvalidPayloadError(
        f"vectors cannot expire by {name!r}: that of {identifier!r} is a {kind}, and must be a datetime with a time "
        "zone, or None; change those with update_payload first"
    )
