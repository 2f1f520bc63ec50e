"""Checks of LMDB's data file that must come before LMDB maps it: a short file would kill the process, not raise."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from lmdb import verify as structure

from pqstore.errors import CorruptIndexError
from pqstore.storage.lmdb_pages import newest_meta, pages_beyond

__all__ = ["DATA_FILE", "LOCK_FILE", "check_data_file", "structure_problems"]

DATA_FILE = "data.mdb"
LOCK_FILE = "lock.mdb"


def check_data_file(generation: Path) -> None:
    """Raise `CorruptIndexError` when the data file is missing, empty, not LMDB's, or cut short."""
    problem = _cut_short(generation / DATA_FILE)
    if problem:
        raise CorruptIndexError(problem)


def _cut_short(path: Path) -> str | None:
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        return f"{path} is missing"
    if size == 0:
        return f"{path} is empty (zero bytes)"
    with path.open("rb") as file:
        meta = newest_meta(file)
        if meta is None:
            return f"{path} ({size} bytes) does not begin as a data file of LMDB"
        # A healthy file may end before its last page (pages taken and given back in one transaction are never
        # written), so a short one is only suspicious: then look at the pages that are in use.
        if size < (meta.last_page + 1) * meta.page_size:
            problem = pages_beyond(file, meta, size)
            if problem:
                return f"{path} is cut short at {size} bytes: {problem}"
    return None


def structure_problems(generation: Path) -> list[str]:
    """What is wrong with the pages and trees of the data file, read byte by byte without LMDB's engine."""
    problem = _cut_short(generation / DATA_FILE)
    if problem:
        return [problem]
    walk = cast("Callable[..., list[Any]]", structure.verify)
    try:
        return [str(problem) for problem in walk(str(generation / DATA_FILE), subdir=False)]
    except structure.VerifyError as error:
        return [str(error)]
