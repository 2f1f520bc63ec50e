"""What an index writes down when it is created, and reads back when it is opened."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

import numpy as np

from pqstore.errors import CorruptIndexError, InvalidQuantizerError
from pqstore.index.code_packing import CodePacking
from pqstore.index.code_space import CodeSpace
from pqstore.kernels import CodeLayout, OriginalKind
from pqstore.quantizer import Metric, Quantizer
from pqstore.quantizer.state import Settings, check_settings
from pqstore.storage import Snapshot, Store, field_name

__all__ = ["as_fields", "as_index_arguments", "as_original_kind", "fields_of", "packing_of", "read_space", "record_of"]

MAX_FIELD_BYTES = 1024
METRICS = ("l2", "dot", "cosine")


def as_index_arguments(quantizer: Quantizer, id_type: str, metric: Metric | None, durability: str) -> Metric:
    """Check the arguments of `Index.create`; the metric that the index gets.

    Raises:
        TypeError: `quantizer` is no `PQ` or `OPQ`.
        ValueError: one of the words is none of those allowed.
    """
    if not isinstance(quantizer, Quantizer):
        raise TypeError(f"quantizer must be a trained pqstore.PQ or pqstore.OPQ, got {type(quantizer).__name__}")
    metric = quantizer.metric if metric is None else metric
    for name, value, allowed in (
        ("id_type", id_type, ("int64", "str")),
        ("metric", metric, METRICS),
        ("durability", durability, ("full", "relaxed")),
    ):
        if value not in allowed:
            raise ValueError(f"{name} must be one of {', '.join(allowed)}, got {value!r}")
    return metric


def as_original_kind(value: Any) -> OriginalKind | None:
    """Check the argument `originals`.

    Raises:
        ValueError: it is none of those allowed.
    """
    if value is not None and value not in get_args(OriginalKind):
        raise ValueError(f"originals must be None or one of {', '.join(get_args(OriginalKind))}, got {value!r}")
    return value


def as_fields(fields: Any) -> tuple[str, ...]:
    """Names of payload fields to index, without repetition.

    Raises:
        TypeError, ValueError: no names, or one that a filter could not name.
    """
    names = (fields,) if isinstance(fields, str) else tuple(fields)
    for name in names:
        if not isinstance(name, str):
            raise TypeError(f"fields are names (str), got {type(name).__name__}")
        try:
            size = len(name.encode())
        except UnicodeEncodeError as error:
            raise ValueError(f"the field {name[:80]!r} is not valid Unicode: {error}") from error
        if not 1 <= size <= MAX_FIELD_BYTES or name.startswith("$"):
            raise ValueError(f"a field has 1 to {MAX_FIELD_BYTES} bytes and does not begin with '$', got {name[:80]!r}")
    return tuple(map(str.__str__, dict.fromkeys(names)))


def fields_of(state: Snapshot) -> tuple[str, ...]:
    """Payload fields that have an index, as they were named."""
    return tuple(dict.fromkeys(map(field_name, state.catalog.fields)))


def record_of(space: CodeSpace) -> tuple[dict[str, Any], dict[str, np.ndarray[Any, Any]]]:
    """Settings and arrays from which `read_space` makes the same code space again."""
    quantizer_settings, arrays = space.quantizer.state()
    settings: dict[str, Any] = {"metric": space.metric, "quantizer": quantizer_settings}
    if space.originals is not None:
        settings["originals"] = space.originals.kind
    if space.labels is not None:
        arrays = {**arrays, "labels": space.labels}
    return settings, arrays


def packing_of(settings: Mapping[str, Any]) -> CodePacking:
    """How the codes of an index with these settings are packed.

    Raises:
        CorruptIndexError: they are none that `record_of` writes.
    """
    quantizer = _quantizer_of(settings)
    return CodePacking(CodeLayout(quantizer["M"], quantizer["Ks"]))


def _quantizer_of(settings: Mapping[str, Any]) -> Settings:
    """The settings of the quantizer; checks the others."""
    if not {"metric", "quantizer"} <= settings.keys() <= {"metric", "quantizer", "originals"}:
        raise CorruptIndexError(f"settings: they are {', '.join(map(repr, sorted(settings)))[:200]}")
    for name, words in (("metric", METRICS), ("originals", (None, *get_args(OriginalKind)))):
        if settings.get(name) not in words:
            raise CorruptIndexError(f"settings: {name} is {settings[name]!r:.80}, not one of {words}")
    try:
        quantizer = check_settings(settings["quantizer"])
    except InvalidQuantizerError as error:
        raise CorruptIndexError(f"settings: {error}") from error
    if quantizer["D"] is None:
        raise CorruptIndexError("settings: the quantizer is not trained")
    return quantizer


def read_space(store: Store) -> CodeSpace:
    """The code space of an index on disk.

    Raises:
        CorruptIndexError: settings and arrays contradict each other.
    """
    arrays = dict(store.arrays())
    labels = arrays.pop("labels", None)
    settings = store.identity.settings
    try:
        quantizer = Quantizer.from_state(_quantizer_of(settings), arrays)
    except InvalidQuantizerError as error:
        raise CorruptIndexError(f"the quantizer of the index at {store.path} cannot be read: {error}") from error
    _check_labels(labels, quantizer, store)
    space = CodeSpace(quantizer, settings["metric"], labels, settings.get("originals"))
    row_bytes = 0 if space.originals is None else space.originals.row_bytes
    if row_bytes != store.identity.row_bytes:
        raise CorruptIndexError(
            f"the index at {store.path} stores {store.identity.row_bytes} bytes of original a row, "
            f"but {settings.get('originals')} of D = {space.D} takes {row_bytes}"
        )
    return space


def _check_labels(labels: np.ndarray[Any, Any] | None, quantizer: Quantizer, store: Store) -> None:
    """Stored labels are there exactly where codes are relabelled, and rename the codewords one to one."""
    if CodeLayout(quantizer.M, quantizer.Ks).kind != "block8":
        sound = labels is None
    else:
        sound = (
            labels is not None
            and labels.dtype == np.uint8
            and labels.shape == (quantizer.M, quantizer.Ks)
            and bool((np.diff(np.sort(labels.astype(np.int64), axis=1), axis=1) > 0).all())
        )
    if not sound:
        raise CorruptIndexError(f"the stored labels of the index at {store.path} are no one-to-one renaming")
