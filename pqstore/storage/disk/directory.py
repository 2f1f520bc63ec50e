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

from pqstore.errors import IndexExistsError, IndexNotFoundError, PQStoreError
from pqstore.storage.disk.system_errors import opening

__all__ = [
    "check_vacant",
    "generation_number",
    "generation_path",
    "give_to_owner_of",
    "is_current",
    "newest_generation",
    "next_generation",
    "older_generations",
    "put_in_place",
    "remove_leftovers",
    "sync_directory",
    "temporary_beside",
    "unfinished_index",
]

# Eight digits, more only where eight are not enough; so many that a number fits 64 bits.
_NAME = re.compile(r"generation-([0-9]{8}|[1-9][0-9]{8,17})\Z")
_TEMPORARY = ".unfinished-"
_LEFTOVER = re.compile(r"generation-[0-9]{8,18}\.unfinished-[0-9a-f]{12}\Z")
_FIRST = 1
_LAST_GENERATION = 10**18 - 1
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
    with opening(index):
        numbers = _generations(index)
    if not numbers:
        raise IndexNotFoundError(f"{index} is a directory, but not an index of pqstore")
    return max(numbers)


def older_generations(index: Path, generation: int) -> list[Path]:
    """Generations before this one that are still there."""
    return [generation_path(index, number) for number in _generations(index) if number < generation]


def _generations(index: Path) -> list[int]:
    """Numbers of the generations. What only has such a name is none: a file, a link, a directory with nothing in it."""
    seen: dict[int, str] | None = None
    while True:
        named = _named(index)
        numbers = [number for number, path in named.items() if _has_entries(path)]
        if numbers or named == seen:
            return numbers
        seen = named  # a compaction may have removed all that was there at the first look


def _named(index: Path) -> dict[int, str]:
    """Directories with the name of a generation, by number."""
    with os.scandir(index) as entries:
        return {
            int(match.group(1)): entry.path
            for entry in entries
            if (match := _NAME.match(entry.name)) and entry.is_dir(follow_symlinks=False)
        }


def _has_entries(path: str) -> bool:
    try:
        with os.scandir(path) as entries:
            return next(entries, None) is not None
    except FileNotFoundError:  # a compaction in another process removed it meanwhile
        return False


def is_current(index: Path, generation: int) -> bool:
    """Whether this generation is there, and no newer one."""
    try:
        return max(_generations(index), default=-1) == generation
    except (FileNotFoundError, NotADirectoryError):
        return False


def next_generation(index: Path, generation: int) -> Path:
    """The path for the generation after this one: of the next number whose name is free."""
    for number in range(generation + 1, _LAST_GENERATION + 1):
        path = generation_path(index, number)
        if not os.path.lexists(path):
            return path
    raise PQStoreError(
        f"index at {index}: {generation} is the last number that a generation can have; "
        "make a backup, which begins at 1 again, and use that"
    )


def check_vacant(path: Path, beside: Collection[str] = ()) -> None:
    """Raise `IndexExistsError` unless the path does not exist or is an empty directory, but for the names `beside`.

    What unfinished indexes have left in a directory, and what every new file system has, is nothing.
    """
    with opening(path):
        if path.is_dir() and not path.is_symlink():
            if all(entry.name in beside or _is_nothing(entry.name) for entry in path.iterdir()):
                return
            raise IndexExistsError(f"{path} exists and is not empty: open it, remove it, or choose another path")
        if os.path.lexists(path):
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
    """Remove generations before this one and copies that never became one. Needs the writer lock.

    What cannot be removed only takes room: it may be somebody else's, and no reason to refuse a write.
    """
    with os.scandir(index) as entries:
        directories = [entry for entry in entries if entry.is_dir(follow_symlinks=False)]
    for entry in directories:
        match = _NAME.match(entry.name)
        if _LEFTOVER.match(entry.name) or (match is not None and int(match.group(1)) < generation):
            shutil.rmtree(entry, ignore_errors=True)


def give_to_owner_of(tree: Path, like: Path) -> None:
    """What root makes in another's index belongs to that other, who could not open it otherwise."""
    owner = like.stat()
    if not hasattr(os, "geteuid") or os.geteuid() != 0 or owner.st_uid == 0:
        return
    for path in (tree, *tree.rglob("*")):
        if path.lstat().st_uid == 0:
            os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
