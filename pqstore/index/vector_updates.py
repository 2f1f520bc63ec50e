"""New vectors for ids that are there: a change for a transaction, its arguments checked before it begins."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pqstore.errors import DimensionError
from pqstore.index.arguments.ids import (
    IdType,
    as_id_batch,
    check_distinct,
    is_single_id,
    refuse_unknown,
    refuse_unordered,
)
from pqstore.index.ingest import batch_of_vectors
from pqstore.index.spaces import Spaces
from pqstore.index.vectorless import marked_payloads, seen_payload, without_missing
from pqstore.storage import WriteTransaction

__all__ = ["vector_update"]


def vector_update(
    ids: Any, vectors: Any, threads: Any, spaces: Spaces, id_type: IdType
) -> Callable[[WriteTransaction], int]:
    """The change that `pqstore.Index.update_vector` makes, its arguments checked and vectors encoded."""
    refuse_unordered(ids)
    batch = as_id_batch(ids, id_type)
    check_distinct(batch)
    if is_single_id(ids) and vectors is None:
        vectors = [None]
    if vectors is None or hasattr(vectors, "__next__"):
        raise DimensionError("update_vector takes one vector for each id: an array, or a list with None in it")
    vectors, absent = without_missing(vectors, None, spaces.latest.D)
    rows = batch_of_vectors(spaces, vectors, batch, "replace", threads, None, id_type)
    rows.lacks_vectors = absent is not None

    def change(txn: WriteTransaction) -> int:
        found = txn.rows_of(batch)
        refuse_unknown(batch, found)
        payloads: list[Any] = list(map(seen_payload, txn.attachments.payloads_of(found)))
        if absent is not None:
            payloads = marked_payloads(payloads, absent)
        rows.append(txn, payloads)
        return len(batch)

    return change
