"""Many machines: shards of one codebook, built by anyone anywhere, that answer as one index. `pqstore.shards.ray` runs
them on Ray; here is what it takes on any engine, or on none."""

from pqstore.shards.building import build, build_shard, missing_shards
from pqstore.shards.collection import Collection
from pqstore.shards.committing import commit
from pqstore.shards.fetching import fetch
from pqstore.shards.manifest import CollectionManifest, ShardEntry, ShardFile, ShardManifest
from pqstore.shards.planning import plan
from pqstore.shards.recipe import Recipe
from pqstore.shards.shard_plan import Piece, Plan, PlannedShard, SourceFile
from pqstore.shards.training import train

__all__ = [
    "Collection",
    "CollectionManifest",
    "Piece",
    "Plan",
    "PlannedShard",
    "Recipe",
    "ShardEntry",
    "ShardFile",
    "ShardManifest",
    "SourceFile",
    "build",
    "build_shard",
    "commit",
    "fetch",
    "missing_shards",
    "plan",
    "train",
]
