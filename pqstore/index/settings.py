"""What an index writes down when it is created, and reads back when it is opened."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any, get_args

import numpy as np

from pqstore.errors import CorruptIndexError, DimensionError, InvalidQuantizerError, NotTrainedError
from pqstore.index.arguments.counts import as_count
from pqstore.index.code_packing import CodePacking
from pqstore.index.code_space import CodeSpace, RetrainMode, Training
from pqstore.index.exact_space import ExactSpace, TrainMode, Wish
from pqstore.index.vector_packing import VectorPacking
from pqstore.kernels import CodeLayout, OriginalKind
from pqstore.quantizer import Metric, Quantizer
from pqstore.quantizer.choice import choose_quantizer, rows_to_train
from pqstore.quantizer.state import Settings, check_settings
from pqstore.storage import EXACT_ROWS, TRAINED_HERE, VECTORLESS_KEY, Identity, Snapshot, field_name

__all__ = [
    "as_field",
    "as_fields",
    "as_index_arguments",
    "as_original_kind",
    "features_of",
    "fields_of",
    "packing_of",
    "read_space",
    "record_of",
    "space_of",
]

MAX_FIELD_BYTES = 1024
MAX_DIMENSION = 1 << 20
MAX_ROWS = 1 << 62
METRICS = ("l2", "dot", "cosine")


def as_index_arguments(quantizer: Quantizer | None, id_type: str, metric: Metric | None, durability: str) -> Metric:
    """Check the arguments of `Index.create`; the metric that the index gets.

    Raises:
        TypeError: `quantizer` is no `PQ` or `OPQ`.
        ValueError: one of the words is none of those allowed.
    """
    if quantizer is not None and not isinstance(quantizer, Quantizer):
        raise TypeError(f"quantizer must be a pqstore.PQ or pqstore.OPQ, got {type(quantizer).__name__}")
    if metric is None:
        metric = "l2" if quantizer is None else quantizer.metric
    for name, value, allowed in (
        ("id_type", id_type, ("int64", "str")),
        ("metric", metric, METRICS),
        ("durability", durability, ("full", "relaxed")),
    ):
        if value not in allowed:
            raise ValueError(f"{name} must be one of {', '.join(allowed)}, got {value!r}")
    return metric


def first_space(
    quantizer: Quantizer | None,
    metric: Metric,
    dim: Any,
    originals: Any,
    train: Any,
    train_at: Any,
    retrain: Any,
) -> CodeSpace | ExactSpace:
    """The space of a new index, with the arguments of `Index.create`.

    Raises:
        NotTrainedError, DimensionError, TypeError, ValueError: as there.
    """
    D = None if dim is None else as_dimension(dim)
    for name, value, allowed in (("train", train, TrainMode), ("retrain", retrain, RetrainMode)):
        if value not in get_args(allowed):
            raise ValueError(f"{name} must be one of {', '.join(get_args(allowed))}, got {value!r}")
    if quantizer is not None and quantizer.is_trained:
        if D not in (None, quantizer.D):
            raise DimensionError(f"dim = {D}, but the quantizer was trained on vectors of dimension {quantizer.D}")
        return CodeSpace(quantizer, metric, originals=None if originals == "default" else as_original_kind(originals))
    if D is None:
        raise NotTrainedError(
            "there is no trained quantizer: call fit() on it before Index.create(), or give the dimension of the "
            "vectors, dim=, for an index that trains itself"
        )
    wanted = choose_quantizer(D, metric) if quantizer is None else quantizer
    if D % wanted.M:
        raise DimensionError(f"M = {wanted.M} does not divide dim = {D}: choose an M that does")
    kind = "float16" if originals == "default" else as_original_kind(originals)
    at = rows_to_train(wanted.Ks) if train_at in ("default", None) else as_threshold(train_at)
    return ExactSpace(D, metric, Wish(wanted, kind, "manual" if train_at is None else train, at, retrain))


def as_dimension(dim: Any) -> int:
    """Check the argument `dim`.

    Raises:
        TypeError, ValueError: it is no whole number from 1 to 1,048,576.
    """
    if isinstance(dim, bool):
        raise TypeError("dim is the dimension of the vectors: got a bool")
    D = as_count(dim, "dim")
    if D > MAX_DIMENSION:
        raise ValueError(f"dim must be at most {MAX_DIMENSION:,}, got {D:,}")
    return D


def as_threshold(train_at: Any) -> int:
    """Check the argument `train_at`.

    Raises:
        TypeError, ValueError: it is no number of vectors that an index can have.
    """
    if isinstance(train_at, bool):
        raise TypeError("train_at is a number of vectors, or None: got a bool")
    rows = as_count(train_at, "train_at")
    if rows > MAX_ROWS:
        raise ValueError(f"train_at must be at most {MAX_ROWS:,}, got {rows:,}: None is never")
    return rows


def as_original_kind(value: Any) -> OriginalKind | None:
    """Check the argument `originals`.

    Raises:
        ValueError: it is none of those allowed.
    """
    if value is not None and value not in get_args(OriginalKind):
        raise ValueError(f"originals must be None or one of {', '.join(get_args(OriginalKind))}, got {value!r}")
    return value


def as_field(name: Any) -> str:
    """The name of a payload field.

    Raises:
        TypeError, ValueError: no name, or one that a filter could not name.
    """
    if not isinstance(name, str):
        raise TypeError(f"a field is named by a str, got {type(name).__name__}")
    try:
        size = len(name.encode())
    except UnicodeEncodeError as error:
        raise ValueError(f"the field {name[:80]!r} is not valid Unicode: {error}") from error
    if not 1 <= size <= MAX_FIELD_BYTES or name.startswith("$"):
        raise ValueError(f"a field has 1 to {MAX_FIELD_BYTES} bytes and does not begin with '$', got {name[:80]!r}")
    return str.__str__(name)


def as_fields(fields: Any) -> tuple[str, ...]:
    """Names of payload fields to index, without repetition; see `as_field`."""
    if not isinstance(fields, Iterable):
        raise TypeError(f"fields are names (str), got {type(fields).__name__}")
    return tuple(dict.fromkeys(map(as_field, (fields,) if isinstance(fields, str) else fields)))


def fields_of(state: Snapshot) -> tuple[str, ...]:
    """Payload fields that have an index, as they were named."""
    return tuple(dict.fromkeys(field_name(field) for field in state.catalog.fields if field != VECTORLESS_KEY))


def record_of(space: CodeSpace | ExactSpace) -> tuple[dict[str, Any], dict[str, np.ndarray[Any, Any]]]:
    """Settings and arrays from which `read_space` makes the same space again."""
    if isinstance(space, ExactSpace):
        wish = space.wish
        exact = {
            "D": space.D,
            "originals": wish.originals,
            "train": wish.train,
            "train_at": wish.train_at,
            "retrain": wish.retrain,
        }
        return {"metric": space.metric, "quantizer": wish.quantizer.state()[0], "exact": exact}, {}
    quantizer_settings, arrays = space.quantizer.state()
    settings: dict[str, Any] = {"metric": space.metric, "quantizer": quantizer_settings}
    if space.originals is not None:
        settings["originals"] = space.originals.kind
    if space.training is not None:
        settings["training"] = asdict(space.training)
    if space.labels is not None:
        arrays = {**arrays, "labels": space.labels}
    return settings, arrays


def features_of(space: CodeSpace | ExactSpace) -> tuple[str, ...]:
    """Features of the format that an index in this space has."""
    if isinstance(space, ExactSpace):
        return (EXACT_ROWS,)
    return () if space.training is None else (TRAINED_HERE,)


def packing_of(settings: Mapping[str, Any]) -> CodePacking | VectorPacking:
    """How the codes of an index with these settings are packed.

    Raises:
        CorruptIndexError: they are none that `record_of` writes.
    """
    quantizer = _quantizer_of(settings)
    if "exact" in settings:
        return VectorPacking(settings["exact"]["D"])
    return CodePacking(CodeLayout(quantizer["M"], quantizer["Ks"]))


def _quantizer_of(settings: Mapping[str, Any]) -> Settings:
    """The settings of the quantizer; checks the others."""
    if not {"metric", "quantizer"} <= settings.keys() <= {"metric", "quantizer", "originals", "training", "exact"}:
        raise CorruptIndexError(f"settings: they are {', '.join(map(repr, sorted(settings)))[:200]}")
    for name, words in (("metric", METRICS), ("originals", (None, *get_args(OriginalKind)))):
        if settings.get(name) not in words:
            raise CorruptIndexError(f"settings: {name} is {settings[name]!r:.80}, not one of {words}")
    try:
        quantizer = check_settings(settings["quantizer"])
    except InvalidQuantizerError as error:
        raise CorruptIndexError(f"settings: {error}") from error
    if "exact" in settings:
        _check_exact(settings["exact"], quantizer)
    elif quantizer["D"] is None:
        raise CorruptIndexError("settings: the quantizer is not trained")
    return quantizer


def _check_exact(exact: Any, quantizer: Settings) -> None:
    """What is to become of an index without codes can be so."""
    sound = (
        isinstance(exact, Mapping)
        and exact.keys() == {"D", "originals", "train", "train_at", "retrain"}
        and _is_whole(exact["D"], 1, MAX_DIMENSION)
        and exact["D"] % quantizer["M"] == 0
        and exact["originals"] in (None, *get_args(OriginalKind))
        and exact["train"] in get_args(TrainMode)
        and exact["retrain"] in get_args(RetrainMode)
        and _is_whole(exact["train_at"], 1, 2**62)
        and quantizer["D"] is None
    )
    if not sound:
        raise CorruptIndexError(f"settings: an index without codes cannot be {exact!r:.200}")


def _is_whole(value: Any, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def read_space(identity: Identity, arrays: Mapping[str, np.ndarray[Any, Any]], path: object) -> CodeSpace | ExactSpace:
    """The space of an index on disk.

    Raises:
        CorruptIndexError: settings and arrays contradict each other.
    """
    settings = identity.settings
    if "exact" in settings:
        others = {name: array for name, array in arrays.items() if name != "labels"}
        quantizer, exact = _quantizer_from(settings, others, path), settings["exact"]
        wish = Wish(quantizer, exact["originals"], exact["train"], exact["train_at"], exact["retrain"])
        if identity.row_bytes:
            raise CorruptIndexError(f"the index at {path} stores vectors, and {identity.row_bytes} bytes besides")
        return ExactSpace(exact["D"], settings["metric"], wish)
    space = space_of(settings, arrays, path)
    row_bytes = 0 if space.originals is None else space.originals.row_bytes
    if row_bytes != identity.row_bytes:
        raise CorruptIndexError(
            f"the index at {path} stores {identity.row_bytes} bytes of original a row, "
            f"but {settings.get('originals')} of D = {space.D} takes {row_bytes}"
        )
    return space


def space_of(settings: Mapping[str, Any], arrays: Mapping[str, np.ndarray[Any, Any]], path: object) -> CodeSpace:
    """The space of an index that has codes.

    Raises:
        CorruptIndexError: settings and arrays contradict each other, or are of one that has none.
    """
    if "exact" in settings:
        raise CorruptIndexError(f"the settings at {path} are of an index without codes")
    others = dict(arrays)
    labels = others.pop("labels", None)
    quantizer = _quantizer_from(settings, others, path)
    _check_labels(labels, quantizer, path)
    training = None if settings.get("training") is None else _training_of(settings["training"])
    return CodeSpace(quantizer, settings["metric"], labels, settings.get("originals"), training)


def _quantizer_from(settings: Mapping[str, Any], arrays: Mapping[str, Any], path: object) -> Quantizer:
    try:
        return Quantizer.from_state(_quantizer_of(settings), arrays)
    except InvalidQuantizerError as error:
        raise CorruptIndexError(f"the quantizer of the index at {path} cannot be read: {error}") from error


def _training_of(stored: Any) -> Training:
    sound = (
        isinstance(stored, Mapping)
        and stored.keys() == {"rows", "error", "rerank", "retrain"}
        and stored["retrain"] in get_args(RetrainMode)
        and _is_whole(stored["rows"], 0, 2**62)
        and isinstance(stored["error"], float)
        and 0.0 <= stored["error"] < float("inf")
        and _is_whole(stored["rerank"], 0, 2**31)
    )
    if not sound:
        raise CorruptIndexError(f"settings: a training cannot be {stored!r:.200}")
    return Training(**stored)


def _check_labels(labels: np.ndarray[Any, Any] | None, quantizer: Quantizer, path: object) -> None:
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
        raise CorruptIndexError(f"the stored labels of the index at {path} are no one-to-one renaming")
