"""Taking vectors out of an index, in one transaction: by id, or by filter."""

from __future__ import annotations

from typing import Any

import numpy as np

from pqstore.index.arguments.ids import as_id_batch, refuse_unknown
from pqstore.index.code_space import CodeSpace
from pqstore.index.reading import Reading
from pqstore.index.records import as_missing
from pqstore.index.selection.select import select
from pqstore.storage import Store

__all__ = ["remove_ids", "remove_selected"]


def remove_ids(store: Store, ids: Any, missing: str) -> int:
    """See `pqstore.Index.remove`."""
    must_exist = as_missing(missing)
    batch = as_id_batch(ids, store.id_type)
    with store.write() as txn:
        rows = txn.rows_of(batch)
        if must_exist:
            refuse_unknown(batch, rows)
        return txn.kill(np.unique(rows[rows >= 0]))


def remove_selected(store: Store, space: CodeSpace, where: Any, ids: Any) -> int:
    """See `pqstore.Index.delete`."""
    if where is None and ids is None:
        raise ValueError("delete needs a filter (where=) or ids")
    if where is not None and not where:
        raise ValueError("an empty filter would remove every vector")
    if isinstance(ids, str):
        ids = [ids]
    with store.write() as txn:
        selection = select(Reading(txn.committed, space, store.id_type), where, ids)
        assert selection is not None
        return txn.kill(selection.rows())
