"""How the shards of a collection are built: one quantizer for all, and what they keep beside codes. A document."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pqstore.arrays import F32
from pqstore.errors import DocumentError, MissingShardError
from pqstore.index import Index
from pqstore.index.arguments.ids import IdType
from pqstore.kernels import OriginalKind
from pqstore.quantizer import Metric, Quantizer
from pqstore.shards.documents import COUNT, DIGEST, canonical, digest, read_document, text_of, write_document
from pqstore.shards.own_files import read_own
from pqstore.shards.place import Place
from pqstore.storage.disk.regular_file import check_regular
from pqstore.storage.format.fields import list_of, nullable, one_of, record_of, whole

__all__ = [
    "Recipe",
    "begun_shard",
    "hash_of",
    "hash_of_centroids",
    "load_centroids",
    "load_quantizer",
    "read_recipe",
    "write_recipe",
]

_KIND = "recipe of shards"
_BODY = record_of(
    {
        "plan": DIGEST,
        "quantizer": DIGEST,
        "metric": one_of("l2", "dot", "cosine"),
        "originals": nullable(one_of("float32", "float16", "int8")),
        "fields": list_of(text_of(1024), 4096),
        "partitions": nullable(whole(1, 65_536)),
        "centroids": nullable(DIGEST),
        "trained_on": COUNT,
    }
)


@dataclass(frozen=True, slots=True)
class Recipe:
    """What `pqstore.shards.train` has decided for every shard."""

    plan: str
    """The hash of the plan."""
    quantizer: str
    """The hash of the quantizer, which names its file."""
    metric: Metric
    originals: OriginalKind | None
    fields: tuple[str, ...]
    partitions: int | None
    """Inverted lists of each shard; None: it has none."""
    centroids: str | None
    """The hash of their centroids, which names the file; None: there are no lists."""
    trained_on: int
    """Rows that the quantizer was trained on; 0: it came trained."""


def hash_of(quantizer: Quantizer) -> str:
    """32 hexadecimal digits that name what a quantizer computes: its kind, sizes and arrays, whatever the metric."""
    settings, arrays = quantizer.state()
    kept = {name: value for name, value in settings.items() if name != "metric"}
    parts = [np.ascontiguousarray(arrays[name], dtype="<f4").tobytes() for name in sorted(arrays)]
    return digest(canonical(kept), *parts)


def write_recipe(place: Place, recipe: Recipe) -> None:
    """Put the recipe in its place, durable."""
    write_document(place.recipe, _KIND, _BODY, {**asdict(recipe), "fields": list(recipe.fields)})


def read_recipe(place: Place) -> Recipe:
    """The recipe of a collection.

    Raises:
        MissingShardError: there is none yet.
        DocumentError, FormatVersionError: it cannot be read.
    """
    try:
        body: dict[str, Any] = read_document(place.recipe, _KIND, _BODY)
    except FileNotFoundError as error:
        raise MissingShardError(f"{place.directory} has no quantizer yet: call train(plan, quantizer, ...)") from error
    if (body["partitions"] is None) != (body["centroids"] is None):
        raise DocumentError(f"{place.recipe}: partitions and centroids, or neither, expected")
    return Recipe(**body)


def load_quantizer(place: Place, recipe: Recipe) -> Quantizer:
    """The quantizer of the recipe, under its metric.

    Raises:
        DocumentError: what lies there is another one.
        InvalidQuantizerError, MissingShardError: the file is damaged or missing.
        CorruptIndexError: it is a link, or no file.
    """
    path = place.quantizer(recipe.quantizer)
    check_regular(path)
    try:
        quantizer = Quantizer.load(path).with_metric(recipe.metric)
    except FileNotFoundError as error:
        raise MissingShardError(f"the quantizer of the collection is missing: {path} is not there") from error
    if not quantizer.is_trained or hash_of(quantizer) != recipe.quantizer:
        raise DocumentError(f"{path} holds another quantizer than its name says: train again, or copy the right file")
    return quantizer


def begun_shard(path: Path, place: Place, recipe: Recipe, id_type: IdType) -> Index:
    """An index without rows, as the recipe has it; it appears at the path when the `with` block of this ends.

    Raises:
        As `load_quantizer` and `Index.create`.
    """
    return Index.create(
        path,
        load_quantizer(place, recipe),
        id_type,
        metric=recipe.metric,
        bulk=True,
        originals=recipe.originals,
        fields=recipe.fields,
    )


def hash_of_centroids(centroids: F32) -> str:
    """32 hexadecimal digits that name centroids float32 (P, D)."""
    return digest(canonical(list(centroids.shape)), np.ascontiguousarray(centroids, dtype="<f4").tobytes())


def load_centroids(place: Place, recipe: Recipe, D: int) -> F32 | None:
    """The centroids of the recipe, float32 (P, D); None: there are none.

    Raises:
        DocumentError: the file is damaged, or holds others.
        MissingShardError: it is missing.
        CorruptIndexError: it is a link, or no file.
    """
    if recipe.centroids is None:
        return None
    path = place.centroids(recipe.centroids)
    shape = (recipe.partitions or 0, D)
    try:
        raw = read_own(path, 4 * shape[0] * D)
    except FileNotFoundError as error:
        raise MissingShardError(f"centroids of the collection are missing: {path} is not there") from error
    if len(raw) != 4 * shape[0] * D:
        raise DocumentError(f"{path}: {shape[0]:,} centroids of dimension {D} expected, got {len(raw):,} bytes")
    centroids: F32 = np.frombuffer(raw, dtype="<f4").reshape(shape).astype(np.float32)
    if hash_of_centroids(centroids) != recipe.centroids:
        raise DocumentError(f"{path} holds other centroids than its name says: copy the right file")
    return centroids
