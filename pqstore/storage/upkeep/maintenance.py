"""What is due after a commit: dead rows rewritten away and runs merged, in transactions that change no answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from pqstore.storage.disk.lmdb_errors import storage_errors
from pqstore.storage.format.state import MergeJob
from pqstore.storage.transactions.write import WriteTransaction
from pqstore.storage.upkeep.listing import list_some, list_work
from pqstore.storage.upkeep.merging import merge_due, merge_some
from pqstore.storage.upkeep.rewriting import rewrite, rewrite_due

__all__ = ["maintain"]

Due = TypeVar("Due")
_LISTS = "putting rows into lists"


def maintain(done: WriteTransaction) -> None:
    """Rewriting and merging that is due after a commit, while its writer still has the lock.

    What one of these transactions frees a later one can fill, which keeps the file small, and the caller's rows are in
    already. Nothing of it raises: what fails, a damaged record or a full disk (giving space back needs space first), is
    kept, and a later commit tries again.
    """
    latest = _repeat(done, "rewriting segments with dead rows", _rewrite_due, rewrite)
    latest = _repeat(latest, "merging runs of the id map", _merge_due, merge_some)
    _follow_with_lists(latest, _rows_added(done))


def _repeat(
    done: WriteTransaction,
    work: str,
    due: Callable[[WriteTransaction], Due | None],
    do: Callable[[WriteTransaction, Due], None],
) -> WriteTransaction:
    """Some work, piece by piece, each in a transaction of its own; the last transaction that was committed."""
    latest = done
    if due(latest) is None or done.faults.is_resting(work):
        return latest
    with done.faults.kept(work):
        while due(latest) is not None:
            with latest.following() as txn, storage_errors(done.records.generation.index):
                piece = due(txn)
                assert piece is not None, "nobody else writes meanwhile"
                do(txn, piece)
            latest = txn
    return latest


def _rows_added(done: WriteTransaction) -> int:
    next_row, records = done.schema.geometry.next_row, done.records
    return next_row(records.state) - next_row(records.base.state)


def _follow_with_lists(done: WriteTransaction, added: int) -> None:
    """Put sealed segments into lists, and merge runs of lists, as much as rows pay for."""
    latest, budget = done, max(done.records.generation.limits.list_slice, 2 * added)
    if list_work(latest, budget) is None or done.faults.is_resting(_LISTS):
        return
    with done.faults.kept(_LISTS):
        while (work := list_work(latest, budget)) is not None:
            with latest.following() as txn, storage_errors(done.records.generation.index):
                budget = list_some(txn, work, budget)
            latest = txn


def _merge_due(txn: WriteTransaction) -> MergeJob | None:
    return merge_due(txn.records.state, txn.records.generation.limits)


def _rewrite_due(txn: WriteTransaction) -> list[int] | None:
    return rewrite_due(txn.records.state, txn.records.table, txn.schema.geometry.segment_rows) or None
