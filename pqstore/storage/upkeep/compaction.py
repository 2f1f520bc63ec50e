"""Giving the disk back: dead rows rewritten away, runs merged to one, then a compacted copy as the next generation."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import lmdb

from pqstore.storage.attachments.original_files import copy_originals
from pqstore.storage.disk import directory
from pqstore.storage.disk.crash_points import reach
from pqstore.storage.disk.data_file import open_data_file
from pqstore.storage.disk.lmdb_errors import storage_errors
from pqstore.storage.disk.numbered_state import number_copy, put_state
from pqstore.storage.format import records
from pqstore.storage.format.state import Identity, State

if TYPE_CHECKING:
    from pqstore.storage.disk.environment import Environment
    from pqstore.storage.store import Store
    from pqstore.storage.transactions.open_index import SharedIndex

__all__ = ["backup", "compact"]

_SEGMENTS_PER_COMMIT = 16
_ENTRIES_PER_COMMIT = 4 << 20


def compact(store: Store, shared: SharedIndex, timeout: float | None) -> None:
    """See `Store.compact`."""
    done = False
    while not done:
        with store.write_for_maintenance(timeout) as txn:
            done = txn.rewrite_dead(_SEGMENTS_PER_COMMIT)
    done = False
    while not done:
        with store.write_for_maintenance(timeout) as txn:
            done = txn.merge_all(_ENTRIES_PER_COMMIT)
    with shared.exclusive(timeout) as environment, storage_errors(store.path):
        _next_generation(shared.path, shared.generation, environment)
        shared.retire(environment)


def _next_generation(index: Path, generation: int, environment: Environment) -> None:
    """Copy, switch, and remove the old. Whoever dies on the way leaves either the old generation or the new one."""
    target = directory.generation_path(index, generation + 1)
    temporary = directory.temporary_beside(target)
    temporary.mkdir()
    try:
        _copy(environment, temporary, link=True)
        reach("generation copied")
        temporary.rename(target)  # the switch
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    directory.sync_directory(index)
    reach("generation switched")
    # Readers look at the state at each commit: this one tells them to open the new generation.
    with environment.begin(write=True) as txn:
        meta = environment.databases["meta"]
        state = State.unpack(txn.get(records.STATE_KEY, db=meta))
        put_state(txn, meta, state._replace(superseded=True))
    reach("old generation marked")
    directory.remove_leftovers(index, generation + 1)


def _copy(environment: Environment, generation: Path, *, link: bool = False) -> None:
    """A compacted copy of the newest commit, on the disk when this returns. With `link` files that no longer change may
    be shared with the original."""
    environment.copy_compacted(generation)
    number_copy(generation)
    sizes = _originals_that_count(generation)
    copy_originals(environment.path, generation, sizes, link=link)
    descriptor = open_data_file(generation)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    directory.sync_directory(generation)


def _originals_that_count(generation: Path) -> dict[int, int]:
    """Bytes of each file of originals that a copied data file speaks of."""
    with lmdb.open(str(generation), max_dbs=64, readonly=True, lock=False, map_size=1 << 40, lib_version=0) as copied:
        meta, table = copied.open_db(b"meta", create=False), copied.open_db(b"segments", create=False)
        with copied.begin(buffers=True) as txn:
            identity = Identity.unpack(txn.get(records.IDENTITY_KEY, db=meta))
            if identity.row_bytes == 0:
                return {}
            state = State.unpack(txn.get(records.STATE_KEY, db=meta))
            segments = txn.cursor(db=table).iternext(values=False)
            rows = {int.from_bytes(key, "big"): identity.segment_rows for key in segments}
    if state.tail_rows:
        rows[state.open_segment] = state.tail_rows
    stride = identity.row_bytes + records.ORIGINALS_CRC_BYTES
    return {segment: count * stride for segment, count in rows.items()}


def backup(store: Store, target: Path) -> None:
    """See `Store.backup`."""
    directory.check_vacant(target)
    temporary = directory.temporary_beside(target)
    generation = directory.generation_path(temporary, 1)
    generation.mkdir(parents=True)
    try:
        with store.read() as snapshot, storage_errors(store.path):
            _copy(snapshot.environment, generation)
        directory.sync_directory(temporary)
        temporary.rename(target)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    directory.sync_directory(target.parent)
