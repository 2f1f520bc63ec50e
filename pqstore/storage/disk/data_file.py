"""Checks of LMDB's data file that must come before LMDB maps it: a damaged file would kill the process, not raise."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple, cast

from lmdb import verify as structure

from pqstore.errors import CorruptIndexError, FormatVersionError
from pqstore.storage.disk.lmdb_lookup import places_of_values, stored_value
from pqstore.storage.disk.lmdb_meta import PAGE_SIZE, DamagedFileError, Meta, newest_number, read_metas
from pqstore.storage.disk.lmdb_trees import TreeWalk
from pqstore.storage.disk.process_lock import ProcessLock
from pqstore.storage.disk.regular_file import file_identity, open_regular
from pqstore.storage.disk.system_errors import opening
from pqstore.storage.format.records import DATABASES, STATE_KEY
from pqstore.storage.format.state import State

__all__ = [
    "DATA_FILE",
    "DataFile",
    "bytes_freed_after",
    "check_allocation",
    "check_trees",
    "open_data_file",
    "structure_problems",
]

DATA_FILE = "data.mdb"
_LOOKS = 3  # a writer may be half-way through a meta page: what is wrong with one is so when it is read again
_PAUSE = 0.002
# Each commit reads some bytes of a file that was just written, and the time of that would be written each time, too.
_UNNOTED = getattr(os, "O_NOATIME", 0)
_position = ProcessLock()  # copies of a descriptor share their position in the file; only one reader here uses it


class DataFile:
    """The data file of a generation, open for reading past LMDB: the same file whatever becomes of its name."""

    def __init__(self, generation: Path) -> None:
        """Raises `CorruptIndexError` when it is missing, or no regular file."""
        self.path = generation / DATA_FILE
        self.descriptor = open_data_file(generation)
        status = os.fstat(self.descriptor)
        self.identity = (status.st_dev, status.st_ino)
        """Device and number of the file."""
        self._seen: tuple[str, str | None] | None = None  # where it was, and under which name

    def check(self) -> None:
        """Raise `CorruptIndexError` when the file is empty, or not LMDB's: before LMDB opens it."""
        with _pages(self):
            pass

    @property
    def size(self) -> int:
        """Bytes of the file now."""
        return os.fstat(self.descriptor).st_size

    @property
    def names(self) -> int:
        """How many names the file has (hard links): 0 when it was removed."""
        return os.fstat(self.descriptor).st_nlink

    def is_at(self, path: str) -> bool:
        """Whether this path leads to the file: it does not when the file was removed, moved or replaced."""
        # A name that the kernel gives the open file is enough while it is the same. Asked for the state of a file,
        # Linux (from 6.13 on) keeps the exact time of its next write, and so each commit would write the inode too.
        seen = path, _name_of(self.descriptor)
        if seen == self._seen and seen[1] is not None:
            return True
        found = file_identity(path) == self.identity
        self._seen = seen if found else None
        return found

    def newest_transaction(self) -> int:
        """The number on the newest meta page, which is not checked."""
        return newest_number(self.descriptor)

    def record(self, name: bytes) -> bytes | None:
        """A record of the database "meta" as the file says now, whatever LMDB takes for the newest transaction."""
        with _pages(self) as pages:
            return stored_value(pages.descriptor, pages.newest, "meta", name)

    def ask_for(self, database: str, keys: Sequence[bytes]) -> None:
        """Have the system read large values that are wanted soon, all at once, and do not wait for them."""
        ask: Any = getattr(os, "posix_fadvise", None)
        if ask is None:
            return
        with suppress(DamagedFileError, OSError):
            newest, _ = read_metas(self.descriptor)
            for offset, size in places_of_values(self.descriptor, newest, database, keys):
                ask(self.descriptor, offset, size, os.POSIX_FADV_WILLNEED)

    def close(self) -> None:
        """Give the descriptor back."""
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


class _Pages(NamedTuple):
    """An open data file and what its meta pages say."""

    descriptor: int
    newest: Meta
    older: Meta
    size: int


def open_data_file(generation: Path) -> int:
    """A descriptor of the data file for reading; the caller closes it. Raises `CorruptIndexError`."""
    path = generation / DATA_FILE
    with opening(generation.parent):
        try:
            return _open_unnoted(path)
        except (FileNotFoundError, NotADirectoryError):
            raise CorruptIndexError(f"{path} is missing") from None


def _open_unnoted(path: Path) -> int:
    try:
        return open_regular(path, os.O_RDONLY | _UNNOTED)
    except PermissionError:  # only who owns a file may ask for that
        return open_regular(path)


def _name_of(descriptor: int) -> str | None:
    """The name of an open file as the system knows it now, marked when it was removed; None where it tells none."""
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}")  # noqa: PTH115 - at each commit
    except OSError:
        return None


@contextmanager
def _pages(file: DataFile) -> Iterator[_Pages]:
    """The file, with meta pages that go together; damage that is found inside the block becomes a named error."""
    size = file.size
    try:
        yield _Pages(file.descriptor, *_metas(file.descriptor), size)
    except DamagedFileError as error:
        if size == 0:
            raise CorruptIndexError(f"{file.path} is empty") from error
        raise CorruptIndexError(f"{file.path} ({size} bytes) is damaged or cut short: {error}") from error


def _metas(descriptor: int) -> tuple[Meta, Meta]:
    for look in range(_LOOKS):
        try:
            return read_metas(descriptor)
        except DamagedFileError:
            if look == _LOOKS - 1:
                raise
            time.sleep(_PAUSE)
    raise AssertionError("the last look returns or raises")


@contextmanager
def _at(file: DataFile, transaction: int) -> Iterator[_Pages]:
    """The data file as of a transaction, which must be one of the last two; its meta page is called the newest."""
    with _pages(file) as pages:
        if pages.newest.transaction == transaction:
            yield pages
        elif pages.older.transaction == transaction:
            yield pages._replace(newest=pages.older)
        else:
            raise DamagedFileError(f"there is no page that describes transaction {transaction}")


def check_trees(file: DataFile, transaction: int, *, leave: Collection[str] = ()) -> TreeWalk:
    """Raise `CorruptIndexError` when pages of the trees are damaged or the file is cut short.

    For use under a read transaction with this number, so that no writer uses the pages for something else meanwhile,
    and before anything is read through LMDB. `leave` names databases that are left out. Gives the walk, which a later
    check may go on with.
    """
    with _at(file, transaction) as pages:
        walk = TreeWalk(pages.newest, pages.size)
        walk.check_trees(pages.descriptor, leave)
        _check_older(pages)
    return walk


def check_allocation(file: DataFile, transaction: int, begun: TreeWalk | None) -> None:
    """Raise `CorruptIndexError` when a page is used twice, or used and free, besides what `check_trees` finds.

    For use as `check_trees`, before anything is written or copied through LMDB. `begun` is a walk that checked trees.
    """
    with _at(file, transaction) as pages:
        same = begun is not None and begun.meta == pages.newest
        walk = begun if begun is not None and same else TreeWalk(pages.newest, pages.size)
        walk.check_allocation(pages.descriptor)


def bytes_freed_after(file: DataFile, transaction: int, since: int) -> int:
    """Bytes of pages that commits after number `since` freed and nobody has used again. For use as `check_trees`."""
    with _at(file, transaction) as pages:
        return TreeWalk(pages.newest, pages.size).pages_freed_after(pages.descriptor, since) * PAGE_SIZE


def _check_older(pages: _Pages) -> None:
    """The older meta page must not lead to the state of the next transaction, or of the next but one.

    Then a page is damaged: it is the newer one, or has its trees, and the number is wrong. What is further on is none:
    transaction N + 1 spares the pages of N - 1, N + 2 may use them again, and after a loss of power a disk may hold
    those new pages under the meta pages of N and N - 1. Where the state cannot be read nothing follows.
    """
    older = pages.older
    if older is pages.newest:
        return
    try:
        value = stored_value(pages.descriptor, older, "meta", STATE_KEY)
        transaction = State.unpack(memoryview(value)).transaction if value is not None else None
    except (CorruptIndexError, FormatVersionError):
        return
    if transaction is not None and 1 <= transaction - older.transaction <= 2:
        raise DamagedFileError(
            f"the meta page of transaction {older.transaction} leads to the state of transaction {transaction}"
        )


def structure_problems(file: DataFile) -> list[str]:
    """What is wrong with the pages and trees of the data file, read byte by byte without LMDB's engine.

    Where others write meanwhile, only under a transaction that keeps the newest pages from being used again.
    """
    try:
        with _pages(file) as pages:
            everything = TreeWalk(pages.newest, pages.size)
            everything.check_allocation(pages.descriptor, complete=True)
            _check_older(pages)
            missing = [name for name in DATABASES if name not in everything.names]
            if missing:
                raise DamagedFileError(f"there is no database {missing[0]!r}")
    except CorruptIndexError as error:
        return [str(error)]
    walk = cast("Callable[..., list[Any]]", structure.verify)
    with _position:
        try:
            # By descriptor: the name may be gone, or lead to another file.
            return [str(problem) for problem in walk(os.dup(file.descriptor), subdir=False)]
        except structure.VerifyError as error:
            return [str(error)]
