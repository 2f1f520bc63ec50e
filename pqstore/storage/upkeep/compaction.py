"""Giving the disk back: dead rows rewritten away, runs merged to one, then a compacted copy as the next generation."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from pqstore.storage.disk import crash_points, directory
from pqstore.storage.disk.lmdb_errors import storage_errors
from pqstore.storage.disk.numbered_state import put_state
from pqstore.storage.format import records
from pqstore.storage.format.state import State
from pqstore.storage.rows.schema import Schema
from pqstore.storage.transactions.generation import Generation
from pqstore.storage.transactions.open_index import SharedIndex
from pqstore.storage.transactions.write import WriteTransaction, begin_write
from pqstore.storage.upkeep.generation_copy import copy_generation
from pqstore.storage.upkeep.merging import merge_all
from pqstore.storage.upkeep.rewriting import rewrite_dead

__all__ = ["compact"]

_SEGMENTS_PER_COMMIT = 16
_ENTRIES_PER_COMMIT = 4 << 20


def compact(shared: SharedIndex, path: Path, schema: Schema, timeout: float | None, *, flush: bool) -> None:
    """See `Store.compact`."""

    def repeat(piece: Callable[[WriteTransaction], bool]) -> None:
        """In transactions of its own, until it says that all is done."""
        done = False
        while not done:
            with begin_write(shared, path, schema, timeout, flush=flush) as txn, storage_errors(path):
                done = piece(txn)

    repeat(lambda txn: rewrite_dead(txn, _SEGMENTS_PER_COMMIT))
    repeat(lambda txn: merge_all(txn, _ENTRIES_PER_COMMIT))
    with shared.exclusive(path, timeout) as generation, storage_errors(path):
        _make_next(generation)
        shared.retire(generation)


def _make_next(old: Generation) -> None:
    """Copy, switch, and remove the old. Whoever dies on the way leaves either the old generation or the new one."""
    target = directory.next_generation(old.index, old.number)
    temporary = directory.temporary_beside(target)
    temporary.mkdir()
    try:
        copy_generation(old, temporary, link=True)
        directory.give_to_owner_of(temporary, old.path)
        crash_points.reach("generation copied")
        temporary.rename(target)  # the switch
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    directory.sync_directory(old.index)
    crash_points.reach("generation switched")
    # Readers look at the state at each commit: this one tells them to open the new generation.
    with old.environment.begin(write=True) as txn:
        meta = old.environment.databases["meta"]
        state = State.unpack(txn.get(records.STATE_KEY, db=meta))
        put_state(txn, meta, state._replace(superseded=True))
    crash_points.reach("old generation marked")
    directory.remove_leftovers(old.index, directory.generation_number(target))
