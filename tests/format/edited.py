"""Records changed through LMDB, as a writer that means harm would: the state says which transaction wrote it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lmdb

from pqstore.errors import CorruptIndexError, FormatVersionError
from pqstore.storage.disk.numbered_state import put_state
from pqstore.storage.format import records
from pqstore.storage.format.state import State


@contextmanager
def edited(generation: Path, database: str) -> Iterator[tuple[Any, Any]]:
    """(transaction, handle) for changes of one database; commits at the end of the block."""
    with lmdb.open(str(generation), max_dbs=20, map_size=1 << 26, lib_version=0) as env:
        meta, handle = (env.open_db(name.encode(), create=False) for name in ("meta", database))
        with env.begin(write=True) as txn:
            yield txn, handle
            try:
                state = State.unpack(memoryview(txn.get(records.STATE_KEY, db=meta) or b""))
            except (CorruptIndexError, FormatVersionError):
                return  # it is the state that was to be damaged
            put_state(txn, meta, state)
