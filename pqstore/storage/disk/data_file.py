"""Checks of LMDB's data file that must come before LMDB maps it: a short file would kill the process, not raise."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

from lmdb import verify as structure

from pqstore.errors import CorruptIndexError
from pqstore.storage.disk.lmdb_pages import Meta, meta_of, newest_meta, pages_freed_after, tree_problem

__all__ = ["DATA_FILE", "LOCK_FILE", "bytes_freed_after", "check_data_file", "check_trees", "structure_problems"]

DATA_FILE = "data.mdb"
LOCK_FILE = "lock.mdb"


def check_data_file(generation: Path) -> None:
    """Raise `CorruptIndexError` when the data file is missing, empty, or not LMDB's: before it is opened."""
    path = generation / DATA_FILE
    try:
        with path.open("rb") as file:
            if newest_meta(file) is None:
                size = path.stat().st_size
                raise CorruptIndexError(
                    f"{path} ({size} bytes) does not begin as a data file of LMDB" if size else f"{path} is empty"
                )
    except FileNotFoundError:
        raise CorruptIndexError(f"{path} is missing") from None


def check_trees(
    generation: Path, transaction: int, *, only: Collection[str] | None = None, leave: Collection[str] = ()
) -> None:
    """Raise `CorruptIndexError` when pages of the trees are damaged or the file is cut short.

    For use under a read transaction with this number, so that no writer uses the pages for something else meanwhile,
    and before anything is read through LMDB. `only` and `leave` name databases that are looked at, or left out.
    """
    with _at(generation, transaction) as (file, meta, size):
        problem = tree_problem(file, meta, size, only=only, leave=leave)
    if problem:
        raise CorruptIndexError(f"{generation / DATA_FILE} ({size} bytes) is damaged or cut short: {problem}")


def bytes_freed_after(generation: Path, transaction: int, since: int) -> int:
    """Bytes of pages that commits after number `since` freed and nobody has used again. For use as `check_trees`."""
    with _at(generation, transaction) as (file, meta, size):
        return pages_freed_after(file, meta, size, since) * meta.page_size


@contextmanager
def _at(generation: Path, transaction: int) -> Iterator[tuple[BinaryIO, Meta, int]]:
    """The data file, the page that describes a transaction, and the size of the file."""
    path = generation / DATA_FILE
    with path.open("rb") as file:
        meta = meta_of(file, transaction)
        if meta is None:
            raise CorruptIndexError(f"{path}: there is no page that describes transaction {transaction}")
        yield file, meta, path.stat().st_size


def structure_problems(generation: Path) -> list[str]:
    """What is wrong with the pages and trees of the data file, read byte by byte without LMDB's engine.

    Where others write meanwhile, only under a transaction that keeps the newest pages from being used again.
    """
    try:
        check_data_file(generation)
        with (generation / DATA_FILE).open("rb") as file:
            meta = newest_meta(file)
            problem = meta and tree_problem(file, meta, (generation / DATA_FILE).stat().st_size)
            if problem:
                return [problem]
    except CorruptIndexError as error:
        return [str(error)]
    walk = cast("Callable[..., list[Any]]", structure.verify)
    try:
        return [str(problem) for problem in walk(str(generation / DATA_FILE), subdir=False)]
    except structure.VerifyError as error:
        return [str(error)]
