"""A copy of an index while readers and writers go on."""

from __future__ import annotations

from pathlib import Path

from pqstore.progress import Progress, no_progress
from pqstore.storage.disk import directory
from pqstore.storage.disk.lmdb_errors import storage_errors
from pqstore.storage.disk.system_errors import file_errors
from pqstore.storage.transactions.snapshot import Snapshot
from pqstore.storage.upkeep.generation_copy import copy_generation

__all__ = ["backup"]


def backup(snapshot: Snapshot, target: Path, progress: Progress = no_progress) -> None:
    """Copy the index that a snapshot is of to `target`, where there is nothing."""
    source = snapshot.records.generation
    with directory.unfinished_index(target) as temporary:
        generation = directory.generation_path(temporary, 1)
        with file_errors(target):
            generation.mkdir(parents=True)
        with storage_errors(source.index):
            snapshot.attachments.pin_originals()
            copy_generation(source, generation, snapshot.records.txn, progress=progress)
        directory.sync_directory(temporary)
        directory.put_in_place(temporary, target)
