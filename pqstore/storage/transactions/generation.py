"""One generation of an index, open in this process: its data file, its files of originals, and the views of both."""

from __future__ import annotations

import os
from pathlib import Path

from pqstore.storage.attachments.original_files import OriginalFiles
from pqstore.storage.disk.directory import generation_number
from pqstore.storage.disk.environment import Environment
from pqstore.storage.disk.numbered_state import put_state
from pqstore.storage.format import records
from pqstore.storage.format.state import State
from pqstore.storage.limits import Limits
from pqstore.storage.transactions.cache import ViewCache

__all__ = ["Generation", "mark_superseded"]


class Generation:
    """Opens the data file; see `Environment` for `metasync` and `sync`."""

    __slots__ = ("cache", "environment", "limits", "number", "originals", "path", "pid")

    def __init__(self, path: Path, limits: Limits, *, metasync: bool, sync: bool = True) -> None:
        self.path = path
        self.number = generation_number(path)
        self.limits = limits
        self.pid = os.getpid()
        """The process that opened it; a child that inherits it must not use it."""
        self.environment = Environment(path, metasync=metasync, sync=sync, max_readers=limits.max_readers)
        self.cache = ViewCache()
        self.originals = OriginalFiles(path)

    @property
    def index(self) -> Path:
        """The directory of the index."""
        return self.path.parent

    def close(self) -> None:
        """Unmap. No view may be used and no transaction be open."""
        self.cache.clear()
        self.originals.clear()
        self.environment.close()


def mark_superseded(environment: Environment) -> None:
    """Tell readers that a newer generation stands beside this one: they look at the state of each commit, and this is
    one. Needs the writer lock."""
    with environment.begin(write=True) as txn:
        meta = environment.databases["meta"]
        state = State.unpack(txn.get(records.STATE_KEY, db=meta))
        if not state.superseded:
            put_state(txn, meta, state._replace(superseded=True))
