"""The shards of a collection, each opened when it is what the manifest says."""

from __future__ import annotations

from pqstore.errors import ForeignShardError, IndexNotFoundError, MissingShardError
from pqstore.index import Index
from pqstore.shards.manifest import CollectionManifest, ShardEntry
from pqstore.shards.place import Place
from pqstore.shards.recipe import hash_of
from pqstore.storage.disk.regular_file import check_directory

__all__ = ["check_shard", "open_shard"]


def open_shard(place: Place, manifest: CollectionManifest, entry: ShardEntry, *, readonly: bool) -> Index:
    """A shard that is what the manifest says.

    Raises:
        MissingShardError: it is not there. ForeignShardError: it is another index. CorruptIndexError: it is damaged, or
            a link that leads elsewhere.
    """
    check_directory(place.directory / entry.name)
    try:
        index = Index.open(place.directory / entry.name, readonly=readonly)
    except IndexNotFoundError as error:
        raise MissingShardError(f"shard {entry.number} of the collection is missing: {error}") from error
    try:
        check_shard(index, manifest, entry)
    except BaseException:
        index.close()
        raise
    return index


def check_shard(index: Index, manifest: CollectionManifest, entry: ShardEntry) -> None:
    """Refuse an index that is no shard of the collection, or another one of it.

    Raises:
        ForeignShardError: names what differs.
    """
    said = (manifest.quantizer, manifest.metric, manifest.D, manifest.id_type, manifest.originals, entry.uuid)
    is_so = (hash_of(index.quantizer), index.metric, index.dim, index.id_type, index.originals, index.stats().uuid)
    names = ("quantizer", "metric", "dimension", "kind of ids", "kind of originals", "UUID")
    for name, expected, got in zip(names, said, is_so, strict=True):
        if expected != got:
            raise ForeignShardError(
                f"{index.path} is not shard {entry.number} of this collection: its {name} is {got}, not {expected}; "
                "put the right shard in its place"
            )
