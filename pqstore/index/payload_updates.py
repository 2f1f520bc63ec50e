"""New payloads for vectors that are there: changes for a transaction, their arguments checked before it begins."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np

from pqstore.arrays import I64
from pqstore.errors import InvalidPayloadError
from pqstore.index.arguments.ids import (
    IdArray,
    IdType,
    as_id_batch,
    check_distinct,
    refuse_unknown,
    refuse_unordered,
)
from pqstore.index.arguments.payloads import PayloadBatch, as_payload_batch
from pqstore.index.reading import Reading
from pqstore.index.selection.select import select
from pqstore.index.spaces import Spaces
from pqstore.index.vectorless import has_no_vector, mark_again, seen_payload, unmarked
from pqstore.storage import VECTORLESS_KEY, WriteTransaction

__all__ = ["NOT_GIVEN", "payload_update"]

NOT_GIVEN: Final[Any] = object()
"""In place of payloads that were not given; None is a payload that is to go."""

_BLOCK_ROWS = 8192


def payload_update(
    ids: Any, payloads: Any, where: Any, merge: bool, spaces: Spaces, id_type: IdType
) -> Callable[[WriteTransaction], int]:
    """The change that `pqstore.Index.update_payload` makes, its arguments checked."""
    if payloads is NOT_GIVEN:
        raise TypeError("update_payload needs payloads: a dict, or None for no payload")
    if where is not None:
        return _update_of_selected(ids, payloads, where, merge, spaces, id_type)
    if ids is None:
        raise ValueError("update_payload needs ids or a filter (where=)")
    is_one_for_all = payloads is None or isinstance(payloads, Mapping)
    if not is_one_for_all:
        refuse_unordered(ids)
    batch = as_id_batch(ids, id_type)
    check_distinct(batch)
    given = [payloads] * len(batch) if is_one_for_all else payloads
    changes = as_payload_batch(given, len(batch))
    _refuse_other_than_maps(changes)
    unmarked(changes)

    def change(txn: WriteTransaction) -> int:
        _update(txn, batch, changes, merge=merge)
        return len(batch)

    return change


def _update_of_selected(
    ids: Any, payload: Any, where: Any, merge: bool, spaces: Spaces, id_type: IdType
) -> Callable[[WriteTransaction], int]:
    """One payload for all that a filter finds, of some ids or of all."""
    if payload is not None and not isinstance(payload, Mapping):
        raise InvalidPayloadError(
            f"with where= there is one payload for all that the filter finds, a dict or None; got "
            f"{type(payload).__name__}"
        )
    unmarked(payload)
    if not where:
        raise ValueError("an empty filter would change every payload: say so by ids")
    if isinstance(ids, str):
        ids = [ids]

    def change(txn: WriteTransaction) -> int:
        selection = select(Reading(txn.visible, spaces.of(txn), id_type), where, ids)
        assert selection is not None
        # By id from here on: what is appended may give other rows of the open segment new numbers.
        found = txn.rows.ids_of(selection.rows())
        for start in range(0, len(found), _BLOCK_ROWS):
            some = found[start : start + _BLOCK_ROWS]
            _update(txn, some, [payload] * len(some), merge=merge)
        return len(found)

    return change


def _refuse_other_than_maps(payloads: PayloadBatch) -> None:
    for at, payload in enumerate(payloads):
        if payload is not None and not isinstance(payload, Mapping):
            raise InvalidPayloadError(f"payload {at} must be a dict or None, got {type(payload).__name__}")


def _stored(txn: WriteTransaction, rows: I64, wanted: list[bool] | None) -> list[dict[str, Any] | None]:
    """The payloads of rows as they are stored; None for those that are not wanted."""
    if wanted is None:
        return txn.attachments.payloads_of(rows)
    found = iter(txn.attachments.payloads_of(rows[np.array(wanted, dtype=np.bool_)]))
    return [next(found) if one else None for one in wanted]


def _update(txn: WriteTransaction, ids: IdArray, changes: PayloadBatch, *, merge: bool) -> None:
    """Give vectors new payloads. Rows never change: each becomes a new row with the code and original of the old.

    Raises:
        UnknownIdError: an id is not in the index.
    """
    rows = txn.rows_of(ids)
    refuse_unknown(ids, rows)
    payloads = list(changes)
    absent = [False] * len(payloads)
    may_lack_vectors = VECTORLESS_KEY in txn.records.catalog.names
    if merge or may_lack_vectors:
        earlier = _stored(txn, rows, None if may_lack_vectors else [new is not None for new in payloads])
        absent = list(map(has_no_vector, earlier))
        if merge:
            for at, new in enumerate(payloads):
                if new is not None:
                    payloads[at] = {**(seen_payload(earlier[at]) or {}), **new}
    codes = txn.rows.codes_of(rows)
    originals = txn.attachments.originals_of(rows) if txn.schema.identity.row_bytes else None
    txn.kill(rows)
    txn.append(codes, ids, originals, mark_again(payloads, absent))
