"""Local copies: of a whole collection, or of one shard, from wherever its files can be read."""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from pqstore.errors import IndexNotFoundError, MissingShardError
from pqstore.index import Index
from pqstore.shards.copying import checked_copy
from pqstore.shards.file_system import is_of_network, refuse_network
from pqstore.shards.manifest import CollectionManifest, ShardEntry, read_collection, read_manifest, write_collection
from pqstore.shards.opening import check_shard
from pqstore.shards.own_files import has_shard, open_own
from pqstore.shards.place import Place
from pqstore.storage.disk.directory import sync_directory
from pqstore.storage.disk.regular_file import check_directory, check_regular
from pqstore.whole_file import whole_file

__all__ = ["fetch", "fetch_shards"]


def fetch(source: Any, destination: Any) -> CollectionManifest:
    """Copy a collection to a local disk, where it can be opened: each shard with its checksums, the manifest last. What
    is there already is not copied again. While others write, each shard is copied as it is at some moment.

    Args:
        source: The directory of a collection, also on a file system of a network.
        destination: The directory to make, on a local one.

    Raises:
        MissingShardError: there is no collection at `source`.
        ForeignShardError: a file is not what its manifest says: damaged on the way, or written to since it was built,
            where nobody can copy it safely; or there is another shard at the destination.
        CorruptIndexError: a file or directory of the collection is a link that leads out of it, or no file.
        NetworkFileSystemError: `destination` lies on a file system of a network.
    """
    return fetch_shards(Place(source), Place(destination), None)


def fetch_shards(place: Place, target: Place, numbers: Collection[int] | None) -> CollectionManifest:
    """`fetch`, of these shards alone (None: of all). Several processes may do so at once, each for its own."""
    manifest = read_collection(place)
    refuse_network(target.directory, "the copy of the collection", "take a directory on a local disk")
    target.directory.mkdir(parents=True, exist_ok=True)
    for entry in manifest.shards:
        if numbers is None or entry.number in numbers:
            _fetch_shard(place, manifest, entry, target)
            _copy(place.manifest(entry.number, manifest.plan), target)
    lists = place.directory.glob("centroids-*.f32")
    for path in (place.plan, place.recipe, place.quantizer(manifest.quantizer), *lists):
        _copy(path, target)
    write_collection(target, manifest)
    return manifest


def _copy(path: Path, target: Place) -> None:
    """A small file, if there is one."""
    with ExitStack() as opened:
        try:
            source = opened.enter_context(open_own(path))
        except FileNotFoundError:
            return
        check_regular(target.directory / path.name)
        shutil.copyfileobj(source, opened.enter_context(whole_file(target.directory / path.name)))


def _fetch_shard(place: Place, manifest: CollectionManifest, entry: ShardEntry, target: Place) -> None:
    """Copy one shard beside its new place, then rename it. One that is there already stays.

    From a local disk it is backed up, whoever writes to it; over a network its files are copied, as its manifest names
    them.
    """
    source, path = place.directory / entry.name, target.directory / entry.name
    check_directory(source)
    if not has_shard(path):
        attempt = target.attempt(entry.number, manifest.plan, os.urandom(8).hex())
        try:
            if is_of_network(place.directory):
                checked_copy(source, attempt, read_manifest(place, entry.number, manifest.plan).files)
            else:
                _back_up(source, attempt, entry)
            attempt.rename(path)
        except OSError:
            if not path.is_dir():  # another was not quicker
                raise
        finally:
            shutil.rmtree(attempt, ignore_errors=True)
        sync_directory(target.directory)
    with Index.open(path, readonly=True) as index:
        check_shard(index, manifest, entry)


def _back_up(source: Path, target: Path, entry: ShardEntry) -> None:
    try:
        with Index.open(source, readonly=True) as index:
            index.backup(target)
    except IndexNotFoundError as error:
        raise MissingShardError(f"shard {entry.number} of the collection is missing: {error}") from error
