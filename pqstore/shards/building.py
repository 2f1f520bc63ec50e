"""Building a shard: by anyone, anywhere, as often as it takes; it is there when it is whole, and then once."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from pqstore.errors import CorruptIndexError, ForeignShardError, MissingShardError
from pqstore.index import Index
from pqstore.progress import Progress, ProgressStep, no_progress
from pqstore.shards.copying import copy_index
from pqstore.shards.manifest import ShardFile, ShardManifest, read_manifest, write_manifest
from pqstore.shards.own_files import has_shard
from pqstore.shards.place import Place
from pqstore.shards.recipe import Recipe, begun_shard, hash_of, load_centroids, read_recipe
from pqstore.shards.scratch import scratch_directory
from pqstore.shards.shard_plan import Plan, PlannedShard
from pqstore.shards.source import blocks_of
from pqstore.storage.disk.crash_points import reach
from pqstore.storage.disk.directory import sync_directory

__all__ = ["POINTS", "as_number", "build", "build_shard", "built", "missing_shards"]

POINTS = (
    "shard filled",
    "shard verified",
    "shard copied",
    "shard renamed",
    "shard manifest written",
)
"""Moments at which tests kill a build."""

_TAKEN = {errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR}


def build_shard(
    plan: Plan,
    number: int,
    destination: Any,
    *,
    scratch: Any = None,
    threads: int | None = None,
    progress: Progress | None = None,
) -> ShardManifest:
    """Build one shard of a plan, unless it is built already.

    The index is made in a scratch directory, verified, copied beside its place and renamed; its manifest comes last.
    Killed at any point this leaves nothing that counts; several attempts at once are harmless: the first one wins.

    Args:
        plan: What `plan` made.
        number: Which of its shards.
        destination: The directory of the collection, where `train` has put quantizer and recipe.
        scratch: A directory on a local disk; None: where the system has temporary files.
        threads: Threads to encode with; None means all cores.
        progress: Called with a `ProgressStep` after each block of vectors.

    Returns:
        The `ShardManifest`.

    Raises:
        MissingShardError: nothing is trained yet.
        ForeignShardError: the recipe is of another plan, or another shard lies in the place of this one.
        NetworkFileSystemError: `scratch` lies on a file system of a network.
        ValueError: the plan has no such shard.
        CorpusFileError, InvalidVectorError, DuplicateIdError: the rows cannot be read, or stored.
    """
    place = Place(destination)
    at = as_number(plan, number)
    recipe = recipe_of(place, plan)
    known = built(place, plan, at, recipe)
    if known is not None:
        return known
    with scratch_directory(scratch) as directory:
        if not has_shard(place.shard(at, plan.hash)):
            index = directory / "index"
            _fill(plan, plan.shards[at], recipe, place, index, threads, progress or no_progress)
            reach("shard filled")
            made = _verified(plan, at, recipe, index)
            reach("shard verified")
            files = _put_in_place(place, plan, at, index)
            if files is not None:
                return _finished(place, replace(made, files=files))
        return _adopted(place, plan, at, recipe, directory / "adopted")


def build(
    plan: Plan,
    destination: Any,
    numbers: Iterable[int] | None = None,
    *,
    scratch: Any = None,
    threads: int | None = None,
    progress: Progress | None = None,
) -> list[ShardManifest]:
    """`build_shard` of all shards that are not built yet (or of these), one after another in this process."""
    wanted = missing_shards(plan, destination) if numbers is None else list(numbers)
    return [build_shard(plan, n, destination, scratch=scratch, threads=threads, progress=progress) for n in wanted]


def missing_shards(plan: Plan, destination: Any) -> list[int]:
    """The numbers of the shards that are not built yet.

    Raises:
        MissingShardError: nothing is trained yet.
        ForeignShardError: the recipe is of another plan.
    """
    place = Place(destination)
    recipe = recipe_of(place, plan)
    return [number for number in range(len(plan.shards)) if built(place, plan, number, recipe) is None]


def as_number(plan: Plan, number: Any) -> int:
    """Check the number of a shard.

    Raises:
        ValueError: the plan has no such shard.
    """
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < len(plan.shards):
        raise ValueError(f"the plan has shards 0 to {len(plan.shards) - 1}, got {number!r}")
    return number


def recipe_of(place: Place, plan: Plan) -> Recipe:
    """The recipe, which is of this plan.

    Raises:
        MissingShardError: there is none. ForeignShardError: it is of another plan.
    """
    recipe = read_recipe(place)
    if recipe.plan != plan.hash:
        raise ForeignShardError(f"{place.directory} is built by plan {recipe.plan}, not by {plan.hash}")
    return recipe


def built(place: Place, plan: Plan, number: int, recipe: Recipe) -> ShardManifest | None:
    """The manifest of a shard that is built; None: it is not.

    Raises:
        DocumentError: its manifest is damaged. ForeignShardError: it has another quantizer.
    """
    try:
        manifest = read_manifest(place, number, plan.hash)
    except MissingShardError:
        return None
    if not has_shard(place.shard(number, plan.hash)):
        return None
    if manifest.quantizer != recipe.quantizer or manifest.rows != plan.shards[number].rows:
        raise ForeignShardError(
            f"{place.manifest(number, plan.hash)} is of another quantizer, or of other rows: remove it"
        )
    return manifest


def _fill(
    plan: Plan,
    shard: PlannedShard,
    recipe: Recipe,
    place: Place,
    path: Path,
    threads: int | None,
    progress: Progress,
) -> None:
    with begun_shard(path, place, recipe, plan.id_type) as index:
        done = 0
        for block in blocks_of(plan, shard):
            ids: Any = [str(id) for id in block.ids] if plan.id_type == "str" and block.ids is not None else block.ids
            index.add(block.vectors, ids, threads=threads, payloads=block.payloads)
            done += len(block.vectors)
            progress(ProgressStep("adding", done, shard.rows))
    centroids = load_centroids(place, recipe, plan.D)
    if centroids is not None and len(centroids) <= shard.rows:
        with Index.open(path) as index:
            index.partition(centroids, threads=threads)


def _verified(plan: Plan, number: int, recipe: Recipe, path: Path) -> ShardManifest:
    """The manifest of an index on a local disk, which is sound and what is planned; without its files.

    Raises:
        CorruptIndexError: it is not sound. ForeignShardError: it is another shard, or none.
    """
    with Index.open(path, readonly=True) as index:
        problems = index.verify()
        if problems:
            raise CorruptIndexError(f"{path}: the shard is not sound: {problems[0]}")
        rows, quantizer, uuid = len(index), hash_of(index.quantizer), index.stats().uuid
    if rows != plan.shards[number].rows or quantizer != recipe.quantizer:
        raise ForeignShardError(
            f"an index of {rows:,} rows and quantizer {quantizer} lies in the place of shard {number}, which has "
            f"{plan.shards[number].rows:,} and {recipe.quantizer}: remove it, and build again"
        )
    return ShardManifest(plan.hash, number, recipe.quantizer, rows, uuid, ())


def _put_in_place(place: Place, plan: Plan, number: int, index: Path) -> tuple[ShardFile, ...] | None:
    """Copy a whole index beside its place, then rename it; its files. None: another attempt was quicker, and stays."""
    target = place.shard(number, plan.hash)
    attempt = place.attempt(number, plan.hash, os.urandom(8).hex())
    try:
        files = copy_index(index, attempt)
        reach("shard copied")
        attempt.rename(target)
    except OSError as error:
        # Who commits removes what is unfinished: every shard is there by then.
        if not target.is_dir() or (error.errno not in _TAKEN and not isinstance(error, FileNotFoundError)):
            raise
        return None
    finally:
        shutil.rmtree(attempt, ignore_errors=True)
    sync_directory(place.directory)
    reach("shard renamed")
    return files


def _adopted(place: Place, plan: Plan, number: int, recipe: Recipe, copy: Path) -> ShardManifest:
    """The shard that another attempt has put in its place: it was whole when it got its name, but who did it may have
    died before the manifest, which says the same whoever writes it. It is looked at in a local copy.

    Raises:
        ForeignShardError, CorruptIndexError: it is another one, or not sound.
    """
    files = copy_index(place.shard(number, plan.hash), copy)
    return _finished(place, replace(_verified(plan, number, recipe, copy), files=files))


def _finished(place: Place, manifest: ShardManifest) -> ShardManifest:
    write_manifest(place, manifest)
    reach("shard manifest written")
    return manifest
