"""One generation of an index, open in this process: its data file, its files of originals, and the views of both."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

from pqstore.storage.attachments.original_files import OriginalFiles
from pqstore.storage.disk.directory import generation_number
from pqstore.storage.disk.environment import Environment
from pqstore.storage.disk.held_directory import HeldDirectory
from pqstore.storage.disk.lmdb_errors import storage_errors
from pqstore.storage.disk.numbered_state import put_state
from pqstore.storage.format import records
from pqstore.storage.format.state import Identity, State
from pqstore.storage.limits import Limits
from pqstore.storage.rows.schema import PackingOf, Schema
from pqstore.storage.transactions.cache import ViewCache

__all__ = ["Generation", "SchemaOf", "mark_superseded"]


class Generation:
    """Opens the data file; see `Environment` for `metasync` and `sync`."""

    __slots__ = (
        "_record",
        "_schema",
        "cache",
        "environment",
        "identity",
        "index",
        "limits",
        "number",
        "originals",
        "path",
        "pid",
        "superseded",
    )

    def __init__(
        self, path: Path, limits: Limits, directory: HeldDirectory, *, metasync: bool, sync: bool = True
    ) -> None:
        """`path` is in the directory of the index, whatever that is called later."""
        self.path = path
        self.index = path.parent
        """The directory of the index."""
        self.number = generation_number(path)
        self.limits = limits
        self.pid = os.getpid()
        """The process that opened it; a child that inherits it must not use it."""
        self.superseded = False
        """Whether this process knows that another has taken its place: nobody opens it again."""
        self.environment = Environment(path, metasync=metasync, sync=sync, limits=limits)
        self.cache = ViewCache()
        self.originals = OriginalFiles(path, directory)
        self._schema: Schema | None = None
        try:
            self._read_identity()
        except BaseException:
            self.close()
            raise

    def _read_identity(self) -> None:
        with self.environment.begin() as txn:
            value = txn.get(records.IDENTITY_KEY, db=self.environment.databases["meta"])
            self.identity = Identity.unpack(value)
            self._record = bytes(value)

    def schema(self, packing_of: PackingOf) -> Schema:
        """How rows are laid out in it; another generation of the same index may hold codes of another kind."""
        if self._schema is None:
            self._schema = Schema(self.identity, packing_of(self.identity.settings))
        return self._schema

    def is_still(self, txn: Any, *, writing: bool) -> bool:
        """Whether the data file, under a transaction, is the one that was opened, and nobody has written over it."""
        if self.environment.was_overwritten(txn.id() - writing, writing=writing):
            return False
        value = txn.get(records.IDENTITY_KEY, db=self.environment.databases["meta"])
        # The identity is rewritten when an index made by an earlier pqstore is first written to.
        return value == self._record or (value is not None and Identity.unpack(value).uuid == self.identity.uuid)

    def rename(self, path: Path) -> None:
        """The generation is found at this path from now on."""
        self.path = path
        self.index = path.parent
        self.environment.rename(path)
        self.originals.rename(path)

    def close(self) -> None:
        """Unmap. No view may be used and no transaction be open."""
        self.cache.clear()
        self.originals.clear()
        self.environment.close()


SchemaOf: TypeAlias = Callable[[Generation], Schema]
"""How a handle understands a generation."""


def mark_superseded(environment: Environment) -> None:
    """Tell readers that a newer generation stands beside this one: they look at the state of each commit, and this is
    one. Needs the writer lock."""
    with storage_errors(environment.path.parent), environment.begin(write=True) as txn:
        meta = environment.databases["meta"]
        state = State.unpack(txn.get(records.STATE_KEY, db=meta))
        if not state.superseded:
            put_state(txn, meta, state._replace(superseded=True))
