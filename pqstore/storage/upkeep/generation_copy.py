"""A compacted copy of a generation: its data file, and the originals that the copy speaks of."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pqstore.progress import Progress, ProgressStep, no_progress
from pqstore.storage.attachments.original_files import copy_originals
from pqstore.storage.disk import directory
from pqstore.storage.disk.address_space import opened_briefly
from pqstore.storage.disk.data_file import DATA_FILE, open_data_file
from pqstore.storage.disk.numbered_state import number_copy
from pqstore.storage.format import records
from pqstore.storage.format.state import Identity, State
from pqstore.storage.rows.geometry import Geometry
from pqstore.storage.transactions.generation import Generation

__all__ = ["copy_generation"]


def copy_generation(
    source: Generation, generation: Path, txn: Any = None, *, link: bool = False, progress: Progress = no_progress
) -> None:
    """Copy the state of a read transaction, or the newest commit, into the directory `generation`, on the disk when
    this returns. With `link` files that no longer change may be shared with the original."""
    source.environment.copy_compacted(generation, txn)
    number_copy(generation)
    sizes = _originals_that_count(generation)
    done = (generation / DATA_FILE).stat().st_size
    total = done + sum(sizes.values())
    progress(ProgressStep("copying", done, total))
    for size in copy_originals(source.originals, generation, sizes, link=link):
        done += size
        progress(ProgressStep("copying", done, total))
    descriptor = open_data_file(generation)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    directory.sync_directory(generation)


def _originals_that_count(generation: Path) -> dict[int, int]:
    """Bytes of each file of originals that a copied data file speaks of."""
    with opened_briefly(generation, readonly=True) as copied:
        meta, table = copied.open_db(b"meta", create=False), copied.open_db(b"segments", create=False)
        with copied.begin(buffers=True) as txn:
            identity = Identity.unpack(txn.get(records.IDENTITY_KEY, db=meta))
            if identity.row_bytes == 0:
                return {}
            state = State.unpack(txn.get(records.STATE_KEY, db=meta))
            segments = [int.from_bytes(key, "big") for key in txn.cursor(db=table).iternext(values=False)]
    stride = identity.row_bytes + records.ORIGINALS_CRC_BYTES
    return {segment: rows * stride for segment, rows in Geometry.of(identity).stored(segments, state) if rows}
