"""A shard more, and rows on their way to where their ids belong."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np

from pqstore.errors import PQStoreError
from pqstore.index import Index
from pqstore.index.arguments.ids import IdArray
from pqstore.index.moving import held_by, move
from pqstore.index.transaction import Transaction
from pqstore.progress import Progress, ProgressStep
from pqstore.shards.copying import copy_index
from pqstore.shards.manifest import CollectionManifest, ShardEntry
from pqstore.shards.own_files import has_shard
from pqstore.shards.place import Place
from pqstore.shards.recipe import begun_shard, read_recipe
from pqstore.shards.routing import homes_of
from pqstore.shards.scratch import scratch_directory
from pqstore.shards.shard_plan import MAX_SHARDS
from pqstore.storage.disk.crash_points import reach
from pqstore.storage.disk.directory import sync_directory

__all__ = ["empty_shard", "move_home", "with_shard"]

_BATCH_ROWS = 4096

Begin: TypeAlias = Callable[[Sequence[int], int], AbstractContextManager[Mapping[int, Transaction]]]
"""Begins one change of several shards, of which the one named is committed last."""


def empty_shard(place: Place, manifest: CollectionManifest, scratch: Any) -> ShardEntry:
    """Make a shard without rows; it counts once a manifest names it.

    Raises:
        MissingShardError, DocumentError: recipe or quantizer cannot be read.
        PQStoreError: there is no number left.
        NetworkFileSystemError: `scratch` lies on a file system of a network.
    """
    recipe = read_recipe(place)
    number = max(entry.number for entry in manifest.shards) + 1
    if number >= MAX_SHARDS:
        raise PQStoreError(f"{place.directory}: shards have numbers below {MAX_SHARDS:,}, and the last is taken")
    with scratch_directory(scratch) as directory:
        with begun_shard(directory / "index", place, recipe, manifest.id_type):
            pass
        with Index.open(directory / "index", readonly=True) as index:
            uuid = index.stats().uuid
        attempt, target = place.attempt(number, manifest.plan, os.urandom(8).hex()), place.shard(number, manifest.plan)
        try:
            files = copy_index(directory / "index", attempt)
            reach("shard copied")
            if has_shard(target):  # of an attempt that died before a manifest named it
                shutil.rmtree(target)
            attempt.rename(target)
        finally:
            shutil.rmtree(attempt, ignore_errors=True)
    sync_directory(place.directory)
    reach("shard renamed")
    return ShardEntry(number, target.name, uuid, 0, sum(file.bytes for file in files))


def with_shard(manifest: CollectionManifest, entry: ShardEntry) -> CollectionManifest:
    """The next manifest, with a shard more: some ids belong there, and lie elsewhere still."""
    return replace(manifest, revision=manifest.revision + 1, placement="anywhere", shards=(*manifest.shards, entry))


def move_home(shards: Mapping[int, Index], begin: Begin, progress: Progress) -> int:
    """Move every row to the shard that the hash of its id names, some thousands at a time; how many were moved.

    Each step commits where rows arrive before it commits where they leave: killed between the two, both have them,
    which answers count once, and a further call takes them out.
    """
    numbers, moved = sorted(shards), 0
    for number in numbers:
        for strays in _strays(shards[number], number, numbers):
            moved += _moved(strays, number, numbers, begin)
            progress(ProgressStep("moving", moved, None))
    return moved


def _strays(index: Index, number: int, numbers: Sequence[int]) -> Iterator[IdArray]:
    """Ids of a shard that belong elsewhere, in batches."""
    with index.snapshot() as view:
        batch: list[IdArray] = []
        for ids, _ in view.iter_codes():
            batch.append(ids[homes_of(ids, numbers) != number])
            if sum(map(len, batch)) >= _BATCH_ROWS:
                strays = np.concatenate(batch)
                yield from (strays[at : at + _BATCH_ROWS] for at in range(0, len(strays), _BATCH_ROWS))
                batch = []
        if batch:
            yield np.concatenate(batch)


def _moved(strays: IdArray, number: int, numbers: Sequence[int], begin: Begin) -> int:
    homes = homes_of(strays, numbers)
    with begin([number, *np.unique(homes).tolist()], number) as transactions:
        still = held_by(transactions[number], strays)
        for home in np.unique(homes[still]).tolist():
            mine = strays[still & (homes == home)]
            move(transactions[number], transactions[home], mine)
    return int(still.sum())
