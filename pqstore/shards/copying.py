"""Whole indexes copied file by file, with checksums, and made durable before they get their name."""

from __future__ import annotations

import os
import stat
import zlib
from collections.abc import Iterator
from pathlib import Path

from pqstore.errors import ForeignShardError
from pqstore.shards.manifest import ShardFile
from pqstore.shards.own_files import open_own
from pqstore.storage.disk.directory import sync_directory

__all__ = ["checked_copy", "copy_index", "files_in"]

_BLOCK = 4 << 20
# What processes make for themselves: locks of this machine mean nothing elsewhere.
_NOT_COPIED = {"lock.mdb", "writer.lock"}


def files_in(index: Path) -> Iterator[Path]:
    """The files of an index that nobody writes to, but locks; relative, in the order of their names.

    Raises:
        ForeignShardError: there is a link, or something else that is no file.
    """
    for path in sorted(index.rglob("*")):
        kind = path.lstat().st_mode
        if stat.S_ISDIR(kind) or path.name in _NOT_COPIED:
            continue
        if not stat.S_ISREG(kind):
            raise ForeignShardError(f"{path} is no regular file: it is not copied")
        yield path.relative_to(index)


def copy_index(source: Path, target: Path) -> tuple[ShardFile, ...]:
    """Copy an index to a directory that does not exist, all of it durable but for the name of the directory itself.

    Raises:
        OSError: something is at `target`, or it cannot be written.
    """
    target.mkdir(parents=False)
    files = tuple(_copied(source, target, path) for path in files_in(source))
    for directory in {(target / file.path).parent for file in files} | {target}:
        sync_directory(directory)
    return files


def checked_copy(source: Path, target: Path, files: tuple[ShardFile, ...]) -> None:
    """`copy_index` of the files that a manifest names, each of which must be what it says.

    Raises:
        ForeignShardError: a file differs from the manifest, is none of the index, or is a link or something else that
            is no file.
    """
    there = {path.as_posix() for path in files_in(source)}
    for file in files:
        if file.path not in there:
            raise ForeignShardError(f"{source} has no file {file.path!r}, which the manifest of the shard names")
    target.mkdir(parents=False)
    for file in files:
        if _copied(source, target, Path(file.path)) != file:
            raise ForeignShardError(
                f"{source / file.path} is not what the manifest of the shard says: it was damaged on the way, or the "
                "shard was written to since; copy it again, or back its index up"
            )
    for directory in {(target / file.path).parent for file in files} | {target}:
        sync_directory(directory)


def _copied(source: Path, target: Path, path: Path) -> ShardFile:
    size = crc = 0
    new = target / path
    new.parent.mkdir(parents=True, exist_ok=True)
    with open_own(source / path) as reading, new.open("xb", buffering=0) as writing:
        while block := reading.read(_BLOCK):
            crc, size = zlib.crc32(block, crc), size + len(block)
            _write(writing.fileno(), block)
        os.fsync(writing.fileno())
    return ShardFile(path.as_posix(), size, crc)


def _write(descriptor: int, block: bytes) -> None:
    rest = memoryview(block)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
