"""What is said of a shard, written after it is whole; and of a collection, written after all of its shards."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import PurePosixPath
from typing import Any, Literal, NamedTuple

from pqstore.errors import DocumentError, MissingShardError
from pqstore.index.arguments.ids import IdType
from pqstore.kernels import OriginalKind
from pqstore.quantizer import Metric
from pqstore.shards.documents import COUNT, DIGEST, TEXT, read_document, text_of, write_document
from pqstore.shards.place import Place
from pqstore.shards.shard_plan import MAX_SHARDS
from pqstore.storage.format.fields import list_of, matching, nullable, one_of, record_of, row, whole

__all__ = [
    "CollectionManifest",
    "ShardEntry",
    "ShardFile",
    "ShardManifest",
    "read_collection",
    "read_manifest",
    "write_collection",
    "write_manifest",
]

_SHARD, _COLLECTION = "manifest of a shard", "manifest of a collection"
_UUID = matching("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "a UUID")
_NAME = matching("shard-[0-9]{5,6}-[0-9a-f]{32}", "the name of a shard")
_CRC = whole(0, (1 << 32) - 1)


class ShardFile(NamedTuple):
    """A file of the index, as it was built."""

    path: str
    bytes: int
    crc: int
    """CRC-32, as zlib."""


@dataclass(frozen=True, slots=True)
class ShardManifest:
    """A shard as it was built."""

    plan: str
    number: int
    quantizer: str
    rows: int
    uuid: str
    """Of the index."""
    files: tuple[ShardFile, ...]

    @property
    def bytes(self) -> int:
        """Bytes of all files."""
        return sum(file.bytes for file in self.files)


class ShardEntry(NamedTuple):
    """A shard of a collection."""

    number: int
    name: str
    """Of its directory, in that of the collection."""
    uuid: str
    """Of its index."""
    rows: int
    """When it was committed; writes come later."""
    bytes: int


@dataclass(frozen=True, slots=True)
class CollectionManifest:
    """Which shards a collection has, and what they have in common."""

    revision: int
    """Counts the changes of this document."""
    plan: str
    quantizer: str
    metric: Metric
    D: int
    id_type: IdType
    originals: OriginalKind | None
    fields: tuple[str, ...]
    partitions: int | None
    placement: Literal["anywhere", "by hash"]
    """Whether each id lies in the shard that its hash names, or vectors lie as they were built."""
    shards: tuple[ShardEntry, ...]

    @property
    def rows(self) -> int:
        """Rows of all shards, when they were committed."""
        return sum(shard.rows for shard in self.shards)

    @property
    def bytes(self) -> int:
        """Bytes of all shards, when they were committed."""
        return sum(shard.bytes for shard in self.shards)


_SHARD_BODY = record_of(
    {
        "plan": DIGEST,
        "number": whole(0, MAX_SHARDS - 1),
        "quantizer": DIGEST,
        "rows": whole(1, 1 << 62),
        "uuid": _UUID,
        "files": list_of(row(TEXT, COUNT, _CRC), 1 << 20, 1),
    }
)
_ENTRY = row(whole(0, MAX_SHARDS - 1), _NAME, _UUID, COUNT, COUNT)
_COLLECTION_BODY = record_of(
    {
        "revision": whole(1, 1 << 62),
        "plan": DIGEST,
        "quantizer": DIGEST,
        "metric": one_of("l2", "dot", "cosine"),
        "D": whole(1, (1 << 24) - 1),
        "id_type": one_of("int64", "str"),
        "originals": nullable(one_of("float32", "float16", "int8")),
        "fields": list_of(text_of(1024), 4096),
        "partitions": nullable(whole(1, 65_536)),
        "placement": one_of("anywhere", "by hash"),
        "shards": list_of(_ENTRY, MAX_SHARDS, 1),
    }
)


def write_manifest(place: Place, manifest: ShardManifest) -> None:
    """Put the manifest of a shard in its place, durable: from then on the shard is built."""
    body = {**asdict(manifest), "files": [list(file) for file in manifest.files]}
    write_document(place.manifest(manifest.number, manifest.plan), _SHARD, _SHARD_BODY, body)


def read_manifest(place: Place, number: int, plan: str) -> ShardManifest:
    """The manifest of a shard.

    Raises:
        MissingShardError: there is none: the shard is not built.
        DocumentError, FormatVersionError: it cannot be read, or is that of another shard.
    """
    path = place.manifest(number, plan)
    try:
        body: dict[str, Any] = read_document(path, _SHARD, _SHARD_BODY)
    except FileNotFoundError as error:
        raise MissingShardError(f"shard {number} is not built: {path} is not there") from error
    if (body["number"], body["plan"]) != (number, plan):
        raise DocumentError(f"{path} is the manifest of shard {body['number']} of plan {body['plan']}")
    files = tuple(ShardFile(*file) for file in body["files"])
    for file in files:
        parts = PurePosixPath(file.path).parts
        if not parts or ".." in parts or PurePosixPath(file.path).is_absolute():
            raise DocumentError(f"{path}: a path within the shard expected, got {file.path!r}")
    if len({file.path for file in files}) != len(files):
        raise DocumentError(f"{path}: each file of the shard once expected")
    return ShardManifest(**{**body, "files": files})


def write_collection(place: Place, manifest: CollectionManifest) -> None:
    """Put the manifest of a collection in its place, durable: readers see this from then on."""
    body = {name: getattr(manifest, name) for name in CollectionManifest.__dataclass_fields__}
    body |= {"fields": list(manifest.fields), "shards": [list(entry) for entry in manifest.shards]}
    write_document(place.collection, _COLLECTION, _COLLECTION_BODY, body)


def read_collection(place: Place) -> CollectionManifest:
    """The manifest of a collection.

    Raises:
        MissingShardError: there is none: the collection is not committed.
        DocumentError, FormatVersionError: it cannot be read.
    """
    try:
        body: dict[str, Any] = read_document(place.collection, _COLLECTION, _COLLECTION_BODY)
    except FileNotFoundError as error:
        raise MissingShardError(f"{place.directory} is no collection, or not committed yet: call commit()") from error
    shards = tuple(ShardEntry(*entry) for entry in body["shards"])
    if [entry.number for entry in shards] != sorted({entry.number for entry in shards}):
        raise DocumentError(f"{place.collection}: shards that ascend by number, each once, expected")
    if len({entry.uuid for entry in shards}) != len(shards):
        raise DocumentError(f"{place.collection}: another index for each shard expected")
    for entry in shards:
        if entry.name != place.shard(entry.number, body["plan"]).name:
            raise DocumentError(f"{place.collection}: shard {entry.number} of the plan expected, got {entry.name}")
    return CollectionManifest(**{**body, "shards": shards})
