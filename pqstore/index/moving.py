"""Rows on their way from one index to another of the same quantizer: as they are stored, so that no bit changes."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pqstore.arrays import U8
from pqstore.index.arguments.ids import IdArray, refuse_unknown
from pqstore.index.transaction import Transaction
from pqstore.index.vectorless import has_no_vector
from pqstore.storage import WriteTransaction

__all__ = ["held_by", "move"]


class _MovedRows(NamedTuple):
    """Rows with all that they bring along."""

    ids: IdArray
    codes: npt.NDArray[Any]
    """Stored labels (n, M): of one codebook, they mean the same in each of its indexes."""
    originals: U8 | None
    payloads: list[dict[str, Any] | None]


def held_by(transaction: Transaction, ids: IdArray) -> npt.NDArray[np.bool_]:
    """Which of these ids an index has: bool (n,)."""
    return transaction.change(lambda txn: txn.rows_of(ids)) >= 0


def move(source: Transaction, target: Transaction, ids: IdArray) -> None:
    """Take vectors out of one index and put them into another; one that is there already under its id stays instead.

    Raises:
        UnknownIdError: an id is not in the first.
    """
    moved = source.change(lambda txn: _take(txn, ids))
    target.change(lambda txn: _put(txn, moved))


def _take(txn: WriteTransaction, ids: IdArray) -> _MovedRows:
    """Take rows out of an index.

    Raises:
        UnknownIdError: an id is not in it.
    """
    rows = txn.rows_of(ids)
    refuse_unknown(ids, rows)
    codes = txn.rows.codes_of(rows)
    originals = txn.attachments.originals_of(rows) if txn.schema.identity.row_bytes else None
    payloads = txn.attachments.payloads_of(rows)
    txn.kill(rows)
    return _MovedRows(ids, codes, originals, payloads)


def _put(txn: WriteTransaction, moved: _MovedRows) -> None:
    """Put them into another; an id that is there already keeps its vector."""
    new = txn.rows_of(moved.ids) < 0
    payloads = [payload for payload, is_new in zip(moved.payloads, new.tolist(), strict=True) if is_new]
    if new.any():
        originals = None if moved.originals is None else moved.originals[new]
        if any(map(has_no_vector, payloads)):
            txn.declare_vectorless()
        txn.append(moved.codes[new], moved.ids[new], originals, payloads if any(payloads) else None)
