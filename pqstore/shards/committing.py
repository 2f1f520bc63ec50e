"""From shards that are built to a collection that readers see: all of it, or nothing."""

from __future__ import annotations

import shutil
from typing import Any

from pqstore.errors import MissingShardError
from pqstore.shards.building import built, recipe_of
from pqstore.shards.manifest import CollectionManifest, ShardEntry, read_collection, write_collection
from pqstore.shards.place import Place
from pqstore.shards.recipe import load_quantizer
from pqstore.shards.shard_plan import Plan

__all__ = ["commit"]

_SHOWN = 10


def commit(plan: Plan, destination: Any) -> CollectionManifest:
    """Write the manifest of the collection, once every shard of the plan is built; then readers can open it.

    What attempts left that did not end is removed. A collection that was committed stays as it is.

    Raises:
        MissingShardError: shards are not built yet; the message names them.
        ForeignShardError: the recipe, or a shard, is of another plan or quantizer.
        DocumentError: a manifest is damaged.
    """
    place = Place(destination)
    recipe = recipe_of(place, plan)
    try:
        committed = read_collection(place)
    except MissingShardError:
        pass
    else:
        if (committed.plan, committed.quantizer) == (plan.hash, recipe.quantizer):
            return committed
    found = [built(place, plan, number, recipe) for number in range(len(plan.shards))]
    missing = [number for number, shard in enumerate(found) if shard is None]
    if missing:
        shown = ", ".join(map(str, missing[:_SHOWN])) + (", ..." if len(missing) > _SHOWN else "")
        raise MissingShardError(
            f"{place.directory}: {len(missing):,} of {len(plan.shards):,} shards are not built yet ({shown}): build "
            "them, then commit again"
        )
    load_quantizer(place, recipe)
    manifest = CollectionManifest(
        revision=1,
        plan=plan.hash,
        quantizer=recipe.quantizer,
        metric=recipe.metric,
        D=plan.D,
        id_type=plan.id_type,
        originals=recipe.originals,
        fields=recipe.fields,
        partitions=recipe.partitions,
        placement="by hash" if len(found) == 1 else "anywhere",
        shards=tuple(
            ShardEntry(shard.number, place.shard(shard.number, plan.hash).name, shard.uuid, shard.rows, shard.bytes)
            for shard in found
            if shard is not None
        ),
    )
    write_collection(place, manifest)
    for left in place.leftovers():
        shutil.rmtree(left, ignore_errors=True)
    return manifest
