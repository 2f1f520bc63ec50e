"""The directory of an index: one LMDB environment per generation, `compact()` makes the next beside the last."""

from __future__ import annotations

import os
import re
import shutil
import uuid
from pathlib import Path

from pqstore.errors import IndexExistsError, IndexNotFoundError

__all__ = [
    "check_vacant",
    "generation_number",
    "generation_path",
    "is_current",
    "newest_generation",
    "older_generations",
    "remove_leftovers",
    "sync_directory",
    "temporary_beside",
]

_NAME = re.compile(r"generation-(\d{8})\Z")
_TEMPORARY = ".unfinished-"


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
    except OSError as error:  # links that lead nowhere, a directory that may not be read
        raise IndexNotFoundError(f"there is no index at {index} that can be opened: {error.strerror}") from error
    numbers = [int(match.group(1)) for name in names if (match := _NAME.match(name))]
    if not numbers:
        raise IndexNotFoundError(f"{index} is a directory, but not an index of pqstore")
    return max(numbers)


def older_generations(index: Path, generation: int) -> list[Path]:
    """Generations before this one that are still there."""
    matches = [(entry, _NAME.match(entry.name)) for entry in index.iterdir()]
    return [entry for entry, match in matches if match and int(match.group(1)) < generation and entry.is_dir()]


def is_current(index: Path, generation: int) -> bool:
    """Whether no newer generation stands beside this one. Numbers go up by one, and older ones are removed after."""
    return not generation_path(index, generation + 1).exists() and generation_path(index, generation).exists()


def check_vacant(path: Path) -> None:
    """Raise `IndexExistsError` unless the path does not exist or is an empty directory."""
    if path.is_dir() and not path.is_symlink():
        if not any(path.iterdir()):
            return
        raise IndexExistsError(f"{path} exists and is not empty: open it, remove it, or choose another path")
    if path.exists() or path.is_symlink():
        raise IndexExistsError(f"{path} exists already: choose another path")


def temporary_beside(path: Path) -> Path:
    """A name in the same directory that nobody else uses and that shows what it is."""
    return path.with_name(f"{path.name}{_TEMPORARY}{uuid.uuid4().hex[:12]}")


def remove_leftovers(index: Path, generation: int) -> None:
    """Remove generations before this one and copies that never became one. Needs the writer lock."""
    for entry in index.iterdir():
        match = _NAME.match(entry.name)
        if (match and int(match.group(1)) < generation) or _TEMPORARY in entry.name:
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink(missing_ok=True)


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
