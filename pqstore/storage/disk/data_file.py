"""Checks of LMDB's data file that must come before LMDB maps it: a damaged file would kill the process, not raise."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, cast

from lmdb import verify as structure

from pqstore.errors import CorruptIndexError, FormatVersionError
from pqstore.storage.disk.lmdb_errors import file_errors
from pqstore.storage.disk.lmdb_lookup import stored_value
from pqstore.storage.disk.lmdb_meta import PAGE_SIZE, DamagedFileError, Meta, read_metas
from pqstore.storage.disk.lmdb_trees import TreeWalk
from pqstore.storage.disk.regular_file import check_regular, open_regular
from pqstore.storage.format.records import DATABASES, STATE_KEY
from pqstore.storage.format.state import State

__all__ = [
    "DATA_FILE",
    "LOCK_FILE",
    "bytes_freed_after",
    "check_allocation",
    "check_data_file",
    "check_trees",
    "open_data_file",
    "structure_problems",
]

DATA_FILE = "data.mdb"
LOCK_FILE = "lock.mdb"
_LOOKS = 3  # a writer may be half-way through a meta page: what is wrong with one is so when it is read again
_PAUSE = 0.002


class _DataFile(NamedTuple):
    """An open data file and what its meta pages say."""

    descriptor: int
    newest: Meta
    older: Meta
    size: int


def check_data_file(generation: Path) -> None:
    """Raise `CorruptIndexError` when the data file is missing, empty, or not LMDB's: before it is opened."""
    check_regular(generation / LOCK_FILE)
    with _opened(generation):
        pass


def open_data_file(generation: Path) -> int:
    """A descriptor of the data file for reading; the caller closes it. Raises `CorruptIndexError`."""
    path = generation / DATA_FILE
    with file_errors(path):
        try:
            return open_regular(path)
        except (FileNotFoundError, NotADirectoryError):
            raise CorruptIndexError(f"{path} is missing") from None


@contextmanager
def _opened(generation: Path) -> Iterator[_DataFile]:
    """The data file, with meta pages that go together; damage that is found inside the block becomes a named error."""
    descriptor = open_data_file(generation)
    size = 0
    try:
        size = os.fstat(descriptor).st_size
        yield _DataFile(descriptor, *_metas(descriptor), size)
    except DamagedFileError as error:
        path = generation / DATA_FILE
        if size == 0:
            raise CorruptIndexError(f"{path} is empty") from error
        raise CorruptIndexError(f"{path} ({size} bytes) is damaged or cut short: {error}") from error
    finally:
        os.close(descriptor)


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
def _at(generation: Path, transaction: int) -> Iterator[_DataFile]:
    """The data file as of a transaction, which must be one of the last two; its meta page is called the newest."""
    with _opened(generation) as file:
        if file.newest.transaction == transaction:
            yield file
        elif file.older.transaction == transaction:
            yield file._replace(newest=file.older)
        else:
            raise DamagedFileError(f"there is no page that describes transaction {transaction}")


def check_trees(generation: Path, transaction: int, *, leave: Collection[str] = ()) -> TreeWalk:
    """Raise `CorruptIndexError` when pages of the trees are damaged or the file is cut short.

    For use under a read transaction with this number, so that no writer uses the pages for something else meanwhile,
    and before anything is read through LMDB. `leave` names databases that are left out. Gives the walk, which a later
    check may go on with.
    """
    with _at(generation, transaction) as file:
        walk = TreeWalk(file.newest, file.size)
        walk.check_trees(file.descriptor, leave)
        _check_older(file)
    return walk


def check_allocation(generation: Path, transaction: int, begun: TreeWalk | None) -> None:
    """Raise `CorruptIndexError` when a page is used twice, or used and free, besides what `check_trees` finds.

    For use as `check_trees`, before anything is written or copied through LMDB. `begun` is a walk that checked trees.
    """
    with _at(generation, transaction) as file:
        same = begun is not None and begun.meta == file.newest
        walk = begun if begun is not None and same else TreeWalk(file.newest, file.size)
        walk.check_allocation(file.descriptor)


def bytes_freed_after(generation: Path, transaction: int, since: int) -> int:
    """Bytes of pages that commits after number `since` freed and nobody has used again. For use as `check_trees`."""
    with _at(generation, transaction) as file:
        return TreeWalk(file.newest, file.size).pages_freed_after(file.descriptor, since) * PAGE_SIZE


def _check_older(file: _DataFile) -> None:
    """The state behind the older meta page must not be newer than the page: then a newer page has been damaged.

    After a loss of power, and while others write, the older pages may be used for something else: that says nothing.
    """
    older = file.older
    if older is file.newest:
        return
    try:
        value = stored_value(file.descriptor, older, "meta", STATE_KEY)
        transaction = State.unpack(memoryview(value)).transaction if value is not None else None
    except (CorruptIndexError, FormatVersionError):
        return
    if transaction is not None and transaction > older.transaction:
        raise DamagedFileError(
            f"the meta page of transaction {older.transaction} leads to the state of transaction {transaction}"
        )


def structure_problems(generation: Path) -> list[str]:
    """What is wrong with the pages and trees of the data file, read byte by byte without LMDB's engine.

    Where others write meanwhile, only under a transaction that keeps the newest pages from being used again.
    """
    try:
        with _opened(generation) as file:
            everything = TreeWalk(file.newest, file.size)
            everything.check_allocation(file.descriptor, complete=True)
            _check_older(file)
            missing = [name for name in DATABASES if name not in everything.names]
            if missing:
                raise DamagedFileError(f"there is no database {missing[0]!r}")
    except CorruptIndexError as error:
        return [str(error)]
    walk = cast("Callable[..., list[Any]]", structure.verify)
    try:
        return [str(problem) for problem in walk(str(generation / DATA_FILE), subdir=False)]
    except structure.VerifyError as error:
        return [str(error)]
