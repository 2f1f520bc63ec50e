"""Giving the disk back: dead rows rewritten away, runs merged to one, then a compacted copy as the next generation."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from pqstore.progress import Progress, ProgressStep, no_progress
from pqstore.storage.disk import crash_points, directory
from pqstore.storage.disk.lmdb_errors import storage_errors
from pqstore.storage.disk.system_errors import file_errors
from pqstore.storage.transactions.generation import Generation, SchemaOf
from pqstore.storage.transactions.living import Moment
from pqstore.storage.transactions.open_index import SharedIndex, alone
from pqstore.storage.transactions.rebuilding_places import clear_places
from pqstore.storage.transactions.write import WriteTransaction, change
from pqstore.storage.upkeep.generation_copy import copy_generation
from pqstore.storage.upkeep.listing import list_all, rows_to_list
from pqstore.storage.upkeep.merging import merge_all
from pqstore.storage.upkeep.rewriting import rewrite_dead
from pqstore.storage.upkeep.switching import leave

__all__ = ["compact"]

_SEGMENTS_PER_COMMIT = 16
_ENTRIES_PER_COMMIT = 4 << 20
_LIST_ROWS_PER_COMMIT = 1 << 20


def compact(
    shared: SharedIndex,
    path: Path,
    schema_of: SchemaOf,
    timeout: float | None,
    *,
    flush: bool,
    moment: Moment,
    progress: Progress = no_progress,
) -> None:
    """See `Store.compact`."""

    def repeat(stage: str, left: Callable[[WriteTransaction], int], piece: Callable[[WriteTransaction], bool]) -> None:
        """In transactions of its own, until it says that all is done; `left` counts what there is to do."""
        done, first = False, 0

        def told(txn: WriteTransaction) -> bool:
            nonlocal first
            before = left(txn)
            first = max(first, before)
            progress(ProgressStep(stage, first - before, first))
            return piece(txn)

        while not done:
            with storage_errors(path):
                done = change(shared, path, schema_of, told, timeout, flush=flush, moment=moment)

    clear_places(path, everything=True)
    repeat("rewriting", _segments_with_dead, lambda txn: rewrite_dead(txn, _SEGMENTS_PER_COMMIT))
    merged: set[int] = set()
    repeat("merging", lambda txn: len(txn.records.state.runs), lambda txn: merge_all(txn, _ENTRIES_PER_COMMIT, merged))
    lists_merged: set[int] = set()
    repeat("lists", rows_to_list, lambda txn: list_all(txn, _LIST_ROWS_PER_COMMIT, lists_merged))

    def switch(old: Generation) -> None:
        with storage_errors(path):
            new = _make_next(old, progress)
        leave(shared, old, new)

    alone(shared, path, timeout, switch)


def _segments_with_dead(txn: WriteTransaction) -> int:
    return sum(entry.dead > 0 for entry in txn.records.table.entries.values()) + (txn.records.state.tail_dead > 0)


def _make_next(old: Generation, progress: Progress) -> Path:
    """Copy and switch. Whoever dies on the way leaves either the old generation or the new one."""
    target = directory.next_generation(old.index, old.number)
    temporary = directory.temporary_beside(target)
    with file_errors(old.index):
        temporary.mkdir()
    try:
        copy_generation(old, temporary, link=True, progress=progress)
        directory.give_to_owner_of(temporary, old.path)
        crash_points.reach("generation copied")
        temporary.rename(target)  # the switch
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return target
