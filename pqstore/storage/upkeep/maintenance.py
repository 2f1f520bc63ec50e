"""What is due after a commit: dead rows rewritten away and runs merged, in transactions that change no answer."""

from __future__ import annotations

from pqstore.errors import StorageFullError
from pqstore.storage.disk.lmdb_errors import storage_errors
from pqstore.storage.format.state import MergeJob
from pqstore.storage.transactions.write import WriteTransaction
from pqstore.storage.upkeep.merging import merge_due, merge_some
from pqstore.storage.upkeep.rewriting import rewrite, rewrite_due

__all__ = ["maintain"]


def maintain(done: WriteTransaction) -> None:
    """Rewriting and merging that is due after a commit, while its writer still has the lock.

    What one of these transactions frees a later one can fill, which keeps the file small, and the caller's rows are in
    already.
    """
    latest = done
    try:
        while _merge_due(latest) is not None or _rewrite_due(latest):
            with latest.following() as latest, storage_errors(done.records.generation.index):
                _do_what_is_due(latest)
    except StorageFullError:
        # Giving space back needs space first; a later commit tries again.
        return


def _do_what_is_due(txn: WriteTransaction) -> None:
    """A piece of it."""
    segments = _rewrite_due(txn)
    if segments:
        rewrite(txn, segments)
        return
    job = _merge_due(txn)
    if job is not None:
        merge_some(txn, job)


def _merge_due(txn: WriteTransaction) -> MergeJob | None:
    return merge_due(txn.records.state, txn.records.generation.limits)


def _rewrite_due(txn: WriteTransaction) -> list[int]:
    return rewrite_due(txn.records.state, txn.records.table, txn.schema.geometry.segment_rows)
