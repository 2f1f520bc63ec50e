"""One open LMDB environment: the data file of one generation of an index, mapped once in this process."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, TypeVar

import lmdb

from pqstore.errors import CorruptIndexError, PQStoreError
from pqstore.storage.disk.address_space import MappedFile
from pqstore.storage.disk.data_file import (
    DATA_FILE,
    DataFile,
    bytes_freed_after,
    check_allocation,
    check_trees,
    structure_problems,
)
from pqstore.storage.disk.directory import generation_number, generation_path
from pqstore.storage.disk.lmdb_errors import storage_errors
from pqstore.storage.disk.lmdb_trees import TreeWalk
from pqstore.storage.disk.lock_file import LOCK_FILE, prepare_lock_file
from pqstore.storage.disk.reader_table import ReaderTable
from pqstore.storage.disk.regular_file import create_like, file_identity
from pqstore.storage.disk.system_errors import opening
from pqstore.storage.format.records import DATABASES
from pqstore.storage.limits import Limits

__all__ = ["Environment"]

_MAX_DATABASES = 64
_CHECKED_LATER = ("payloads",)  # the largest tree, which a search can do without

Result = TypeVar("Result")


class _Databases(dict[str, Any]):
    """Handles by name. The trees of some are checked when they are first asked for, so that opening takes no longer
    the more rows there are.

    Later is as good: what was damaged when the file was opened is found before it is used, and other processes that
    change the tree meanwhile have checked it too.
    """

    def __init__(self, handles: Mapping[str, Any], later: Collection[str], check: Callable[[], None]) -> None:
        super().__init__({name: handle for name, handle in handles.items() if name not in later})
        self._handles = handles
        self._check = check

    def __missing__(self, name: str) -> Any:
        self._check()
        self.all_checked()
        return self[name]

    def all_checked(self) -> None:
        """No tree needs to be checked any more."""
        self.update(self._handles)


class Environment:
    """LMDB and its named databases.

    `sync` False writes nothing through to the disk before `flush`: only for a directory that nobody else knows yet.
    `metasync` False lets a power cut undo the last commits, never tear them.
    """

    def __init__(
        self, generation: Path, *, metasync: bool, limits: Limits, sync: bool = True, create: bool = False
    ) -> None:
        self.metasync = metasync
        self.sync = sync
        self._limits = limits
        self._walk: TreeWalk | None = None
        self.rename(generation)
        with storage_errors(generation.parent), opening(generation.parent):
            if create:
                os.close(create_like(generation / DATA_FILE, generation))
            self._file = DataFile(generation)
            self.ask_for = self._file.ask_for
            try:
                self._open(create)
            except BaseException:
                self._file.close()
                raise

    def rename(self, generation: Path) -> None:
        """The directory is found at this path from now on."""
        self.path = generation
        self._data_path = str(generation / DATA_FILE)
        self._lock_path = str(generation / LOCK_FILE)
        self._next_path = str(generation_path(generation.parent, generation_number(generation) + 1))

    def _open(self, create: bool) -> None:
        if not create:
            self._file.check()
        self.locked = prepare_lock_file(self.path, self.path / DATA_FILE)
        """Whether other processes see what is being read here."""
        self.refusal = self._refusal()
        """Why nothing may be written here; "" where it may."""
        self._mapped = self._without_former_self()
        self._lmdb = self._mapped.lmdb
        self.begin_plain = self._lmdb.begin
        """As `begin`, for reading; values are bytes, and LMDB's errors are told as they are."""
        try:
            if not create:
                self._check_trees(leave=_CHECKED_LATER)
            handles = {name: self._lmdb.open_db(name.encode(), create=create) for name in DATABASES}
            self._handles = handles
            self._allocation_checked = create
            self.databases = _Databases(handles, () if create else _CHECKED_LATER, self._check_trees)
            self.readers = ReaderTable(self._lmdb, clearing=self.writable)
            if self.writable:
                self.readers.clear()
        except BaseException:
            self._mapped.close()
            raise
        self._lock_file = file_identity(self._lock_path)

    def _refusal(self) -> str:
        if not (os.access(self.path, os.W_OK) and os.access(self._data_path, os.W_OK)):
            return "nothing can be written there"
        if not self.locked:
            return (
                f"{self._lock_path} may not be written by this process, and without it writers and readers do not see "
                "one another: give it owner and permissions of data.mdb, or remove it while nobody has the index open"
            )
        if self._file.names > 1:
            return (
                f"{self._data_path} has other names (hard links): what is written would change what they stand for; "
                "copy the index (cp -r, backup) and write to the copy"
            )
        return ""

    @property
    def writable(self) -> bool:
        return not self.refusal

    def _without_former_self(self) -> MappedFile:
        """Open, and clear slots of readers that had this process's number and are dead: an earlier life of a container.

        LMDB takes them for ours, so it would never clear them; but it does so when it closes.
        """
        mapped = self._map()
        readers = str(mapped.lmdb.readers()).splitlines()
        if self.locked and any(line.split()[:1] == [str(os.getpid())] for line in readers):
            mapped.lmdb.begin().abort()
            mapped.close()
            mapped = self._map()
        return mapped

    def _map(self) -> MappedFile:
        return MappedFile(
            self.path,
            self._file.size,
            self._limits,
            readonly=not self.writable,
            metasync=self.metasync,
            sync=self.sync,
            create=False,
            max_readers=self._limits.max_readers,
            max_dbs=_MAX_DATABASES,
            # Readers enter themselves in the lock file; where even that cannot be written, an index must not
            # be written by others while it is open (docs/durability.md).
            lock=self.locked,
        )

    def is_cramped(self) -> bool:
        """Whether the map should be made larger before more is written."""
        return self._mapped.bytes < self._limits.ample_map and self._mapped.is_cramped(self._file.size)

    def _check_trees(self, leave: Collection[str] = ()) -> None:
        """Pages are checked before LMDB follows them: a damaged one would kill the process, not raise."""
        self._walk = self._on_pages(lambda transaction: check_trees(self._file, transaction, leave=leave))

    def _check_allocation(self) -> None:
        """Before this process has LMDB write, or copy: it would give out used pages, and believe their counts."""
        if not self._allocation_checked:
            self._on_pages(lambda transaction: check_allocation(self._file, transaction, self._begun_walk()))
            self._allocation_checked = True
            self.databases.all_checked()

    def _on_pages(self, look: Callable[[int], Result]) -> Result:
        """Look at the pages of the newest transaction, by its number, past LMDB."""
        for _ in range(20):
            with self._lmdb.begin() as txn:
                try:
                    return look(txn.id())
                except CorruptIndexError:
                    # With many commits a moment the page of this transaction is written over before it is read.
                    if txn.id() == self._lmdb.info()["last_txnid"]:
                        raise
        raise PQStoreError(f"index at {self.path.parent}: too many commits at once to look at its pages; try again")

    def _begun_walk(self) -> TreeWalk | None:
        """The walk to go on with, once: one that failed is of no use."""
        walk, self._walk = self._walk, None
        return walk

    def begin(self, *, write: bool = False) -> Any:
        """A transaction of LMDB whose values are views. Clears slots of dead readers when there are too many."""
        if write:
            self._check_allocation()
        try:
            return self._lmdb.begin(write=write, buffers=True)
        except lmdb.ReadersFullError:
            self.readers.clear()
            return self._lmdb.begin(write=write, buffers=True)

    def keeps_its_data_file(self) -> bool:
        """False when data.mdb was removed or replaced: what is mapped here is then no longer the index at this path."""
        return self._file.is_at(self._data_path)

    def keeps_its_lock_file(self) -> bool:
        """False when lock.mdb was removed or replaced under us: then LMDB no longer sees all readers."""
        return file_identity(self._lock_path) == self._lock_file

    def is_newest(self) -> bool:
        """Whether this generation still has its files, and no newer one stands beside it."""
        return self.keeps_its_lock_file() and self.keeps_its_data_file() and not os.access(self._next_path, os.F_OK)

    def was_overwritten(self, committed: int, *, writing: bool) -> bool:
        """Whether somebody wrote into the data file past LMDB, a copy of another file say.

        `committed` is the newest transaction that LMDB knew; unless we are `writing`, others may have committed since.
        """
        in_file = self._file.newest_transaction()
        return in_file != committed if writing else in_file < committed

    @property
    def file_bytes(self) -> int:
        """Bytes of the data file."""
        return self._file.size

    def structure_problems(self) -> list[str]:
        """What is wrong with the pages of the data file; for use under a read transaction."""
        return structure_problems(self._file)

    def flush(self) -> None:
        """Everything committed is on the disk when this returns."""
        self._lmdb.sync(True)

    def copy_compacted(self, target: Path, txn: Any = None) -> None:
        """Write a compacted copy of one consistent state into the directory `target`."""
        self._check_allocation()
        self._lmdb.copy(os.fsencode(target), compact=True, txn=txn)

    def info(self) -> dict[str, int]:
        """LMDB's numbers: last_pgno, last_txnid, map_size, num_readers, ..."""
        return dict(self._lmdb.info())

    def page_counts(self, txn: Any) -> tuple[int, int, int]:
        """(pages that hold records, other pages of the file, bytes of a page)."""
        # LMDB reads the root of each tree for it, of those too that are checked when they are first used.
        stats = [txn.stat(), *(txn.stat(self.databases[name]) for name in self._handles)]
        used = sum(stat[kind] for stat in stats for kind in ("branch_pages", "leaf_pages", "overflow_pages"))
        return used, max(0, self.info()["last_pgno"] + 1 - used), stats[0]["psize"]

    def pinned_bytes(self) -> int:
        """Bytes that cannot be used again before the oldest open snapshot closes."""
        snapshots = self.readers.snapshots()
        if not snapshots:
            return 0
        return self._on_pages(lambda transaction: bytes_freed_after(self._file, transaction, min(snapshots)))

    def close(self) -> None:
        """Unmap. No view may be used and no transaction be open."""
        self._mapped.close()
        self._file.close()
