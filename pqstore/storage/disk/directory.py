"""The directory of an index: one LMDB environment per generation, `compact()` makes the next beside the last."""

from __future__ import annotations

import errno
import os
import re
import shutil
import uuid
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from pqstore.errors import IndexExistsError, IndexNotFoundError

__all__ = [
    "check_vacant",
    "generation_number",
    "generation_path",
    "is_current",
    "newest_generation",
    "put_in_place",
    "remove_leftovers",
    "sync_directory",
    "temporary_beside",
    "unfinished_index",
]

_NAME = re.compile(r"generation-(\d{8})\Z")
_TEMPORARY = ".unfinished-"
_FIRST = 1
_OF_THE_SYSTEM = "lost+found"  # what a new file system has in it
_OCCUPIED = {errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR}


def generation_path(index: Path, generation: int) -> Path:
    """Where a generation lies."""
    return index / f"generation-{generation:08d}"


def generation_number(path: Path) -> int:
    """The number of the generation that lies at a path."""
    return int(path.name.removeprefix("generation-"))


def newest_generation(index: Path) -> int:
    """The number of the generation that counts: the highest. Raises `IndexNotFoundError` when there is none."""
    try:
        names = [entry.name for entry in index.iterdir()]
    except FileNotFoundError:
        raise IndexNotFoundError(f"there is no index at {index}: the path does not exist") from None
    except NotADirectoryError:
        raise IndexNotFoundError(f"{index} is a file; an index of pqstore is a directory") from None
    numbers = [int(match.group(1)) for name in names if (match := _NAME.match(name))]
    if not numbers:
        raise IndexNotFoundError(f"{index} is a directory, but not an index of pqstore")
    return max(numbers)


def is_current(index: Path, generation: int) -> bool:
    """Whether no newer generation stands beside this one. Numbers go up by one, and older ones are removed after."""
    return not generation_path(index, generation + 1).exists() and generation_path(index, generation).exists()


def check_vacant(path: Path, beside: Collection[str] = ()) -> None:
    """Raise `IndexExistsError` unless the path does not exist or is an empty directory, but for the names `beside`.

    What unfinished indexes have left in a directory, and what every new file system has, is nothing.
    """
    if path.is_dir() and not path.is_symlink():
        if all(entry.name in beside or _is_nothing(entry.name) for entry in path.iterdir()):
            return
        raise IndexExistsError(f"{path} exists and is not empty: open it, remove it, or choose another path")
    if path.exists() or path.is_symlink():
        raise IndexExistsError(f"{path} exists already: choose another path")


def _is_nothing(name: str) -> bool:
    return name == _OF_THE_SYSTEM or name.startswith(f"{generation_path(Path(), _FIRST).name}{_TEMPORARY}")


@contextmanager
def unfinished_index(target: Path) -> Iterator[Path]:
    """The path for a new index that is not whole yet; removed when the block fails. `put_in_place` makes it `target`.

    Inside a directory that is there already: it may be a mount point, beside which nothing of this file system lies,
    and which cannot be renamed over; beside one that is not.
    """
    temporary = temporary_beside(generation_path(target, _FIRST) if target.is_dir() else target)
    try:
        yield temporary
    except BaseException as error:
        shutil.rmtree(temporary, ignore_errors=True)
        if isinstance(error, Exception) and _holds_index(target):
            # That index, whose directory it is now, may have removed what is unfinished in it.
            raise _too_late(target) from error
        raise


def _holds_index(path: Path) -> bool:
    try:
        return newest_generation(path) > 0
    except IndexNotFoundError:
        return False


def _too_late(target: Path) -> IndexExistsError:
    return IndexExistsError(f"{target} exists by now: another process was quicker; open it")


def put_in_place(index: Path, target: Path) -> None:
    """Make the whole and durable index at `index`, a path of `unfinished_index`, the one at `target`: in one step.

    Of several that try to, in all processes, one succeeds; raises `IndexExistsError` for the others.
    """
    inside = target in index.parents
    # Always as the first generation: two names would both find room.
    old = generation_path(index, newest_generation(index)) if inside else index
    new = generation_path(target, _FIRST) if inside else target
    try:
        old.rename(new)
    except OSError as error:
        if error.errno in _OCCUPIED:
            raise _too_late(target) from error
        raise
    if inside:
        shutil.rmtree(index, ignore_errors=True)
    sync_directory(new.parent)


def temporary_beside(path: Path) -> Path:
    """A name in the same directory that nobody else uses and that shows what it is."""
    return path.with_name(f"{path.name}{_TEMPORARY}{uuid.uuid4().hex[:12]}")


def remove_leftovers(index: Path, generation: int) -> None:
    """Remove generations before this one and copies that never became one. Needs the writer lock."""
    for entry in index.iterdir():
        match = _NAME.match(entry.name)
        if (match and int(match.group(1)) < generation) or _TEMPORARY in entry.name:
            shutil.rmtree(entry)


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
