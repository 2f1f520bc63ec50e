"""How the shards of a collection are built: one quantizer for all, and what they keep beside codes. A document."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from pqstore.errors import DocumentError, MissingShardError
from pqstore.kernels import OriginalKind
from pqstore.quantizer import Metric, Quantizer
from pqstore.shards.documents import canonical, digest, read_document, write_document
from pqstore.shards.place import Place
from pqstore.shards.schema import choice, listed, mapped, matching, optional, text, whole

__all__ = ["Recipe", "hash_of", "load_quantizer", "read_recipe", "write_recipe"]

_KIND = "recipe of shards"
_HEX = matching("[0-9a-f]{32}", "32 hexadecimal digits")
_BODY = mapped(
    {
        "plan": _HEX,
        "quantizer": _HEX,
        "metric": choice("l2", "dot", "cosine"),
        "originals": optional(choice("float32", "float16", "int8")),
        "fields": listed(text(1024), 4096),
        "partitions": optional(whole(1, 65_536)),
        "trained_on": whole(),
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
    write_document(place.recipe, _KIND, {**asdict(recipe), "fields": list(recipe.fields)})


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
    return Recipe(**{**body, "fields": tuple(body["fields"])})


def load_quantizer(place: Place, recipe: Recipe) -> Quantizer:
    """The quantizer of the recipe, under its metric.

    Raises:
        DocumentError: what lies there is another one.
        InvalidQuantizerError, FileNotFoundError: the file is damaged or missing.
    """
    path = place.quantizer(recipe.quantizer)
    quantizer = Quantizer.load(path).with_metric(recipe.metric)
    if not quantizer.is_trained or hash_of(quantizer) != recipe.quantizer:
        raise DocumentError(f"{path} holds another quantizer than its name says: train again, or copy the right file")
    return quantizer
