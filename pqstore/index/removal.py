"""Taking vectors out of an index: changes for a transaction, their arguments checked before it begins."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pqstore.index.arguments.ids import IdType, as_id_batch, refuse_unknown
from pqstore.index.reading import Reading
from pqstore.index.records import as_missing
from pqstore.index.selection.select import select
from pqstore.index.spaces import Spaces
from pqstore.storage import WriteTransaction

__all__ = ["removal_of_ids", "removal_of_selected"]


def removal_of_ids(ids: Any, missing: str, id_type: IdType) -> Callable[[WriteTransaction], int]:
    """See `pqstore.Index.remove`."""
    must_exist = as_missing(missing)
    batch = as_id_batch(ids, id_type)

    def change(txn: WriteTransaction) -> int:
        rows = txn.rows_of(batch)
        if must_exist:
            refuse_unknown(batch, rows)
        return txn.kill(rows[rows >= 0])

    return change


def removal_of_selected(where: Any, ids: Any, spaces: Spaces, id_type: IdType) -> Callable[[WriteTransaction], int]:
    """See `pqstore.Index.delete`."""
    if where is None and ids is None:
        raise ValueError("delete needs a filter (where=) or ids")
    if where is not None and not where:
        raise ValueError("an empty filter would remove every vector: that is clear()")
    if isinstance(ids, str):
        ids = [ids]

    def change(txn: WriteTransaction) -> int:
        selection = select(Reading(txn.visible, spaces.of(txn), id_type), where, ids)
        assert selection is not None
        return txn.kill(selection.rows())

    return change
