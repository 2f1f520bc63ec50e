"""Checks of LMDB's data file that must come before LMDB maps it: a short file would kill the process, not raise."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from lmdb import verify as structure

from pqstore.errors import CorruptIndexError

__all__ = ["DATA_FILE", "LOCK_FILE", "check_data_file", "structure_problems"]

DATA_FILE = "data.mdb"
LOCK_FILE = "lock.mdb"

_LMDB_MAGIC = 0xBEEFC0DE
_META = struct.Struct(
    "=16x I I 16x I 92x Q Q"
)  # magic, version, page size, last page, transaction; after a page header


def check_data_file(generation: Path) -> None:
    """Raise `CorruptIndexError` when the data file is missing, empty, not LMDB's, or cut short."""
    path = generation / DATA_FILE
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        raise CorruptIndexError(f"{path} is missing") from None
    if size == 0:
        raise CorruptIndexError(f"{path} is empty (zero bytes)")
    with path.open("rb") as file:
        first = _read_meta(file, 0)
        second = _read_meta(file, first[1]) if first else None
    metas = [meta for meta in (first, second) if meta]
    if not metas:
        raise CorruptIndexError(f"{path} ({size} bytes) does not begin as a data file of LMDB")
    _, page_size, last_page = max(metas)
    # A healthy file may end before its last page (pages taken and given back in one transaction are never written), so
    # a short one is only suspicious: walk the pages that are in use, without mapping the file.
    if size < (last_page + 1) * page_size:
        problems = structure_problems(generation)
        if problems:
            raise CorruptIndexError(f"{path} is cut short at {size} bytes: {problems[0]}")


def _read_meta(file: Any, offset: int) -> tuple[int, int, int] | None:
    """(transaction, page size, last page) of the meta page at an offset."""
    file.seek(offset)
    head = file.read(_META.size)
    if len(head) < _META.size:
        return None
    magic, version, page_size, last_page, transaction = _META.unpack(head)
    if magic != _LMDB_MAGIC or version != 1 or not 512 <= page_size <= 65_536:
        return None
    return transaction, page_size, last_page


def structure_problems(generation: Path) -> list[str]:
    """What is wrong with the pages and trees of the data file, walked byte by byte without LMDB's engine."""
    walk = cast("Callable[..., list[Any]]", structure.verify)
    try:
        return [str(problem) for problem in walk(str(generation / DATA_FILE), subdir=False)]
    except structure.VerifyError as error:
        return [str(error)]
