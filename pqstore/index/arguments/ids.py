"""Ids as callers give them: checked at the door, whole batches at a time."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from pqstore.arrays import I64, has_masked
from pqstore.errors import DimensionError, DuplicateIdError, InvalidIdError, UnknownIdError

__all__ = [
    "MAX_ID_BYTES",
    "IdArray",
    "IdType",
    "as_id_batch",
    "automatic_names",
    "check_distinct",
    "is_single_id",
    "refuse_map",
    "refuse_unknown",
    "refuse_unordered",
]

IdType = Literal["int64", "str"]
# int64 (n,), or dtype object (n,) holding str.
IdArray: TypeAlias = npt.NDArray[Any]

MAX_ID_BYTES = 4096
"""Longest str id, in bytes of UTF-8."""


def is_single_id(ids: object) -> bool:
    """Whether `ids` is one id, not a batch of them."""
    return isinstance(ids, (str, bytes, int, np.integer)) or (isinstance(ids, np.ndarray) and ids.ndim == 0)


def as_id_batch(ids: Any, id_type: IdType) -> IdArray:
    """A batch of ids as an int64 array, or as an array of str objects; one id is a batch of one.

    Raises:
        InvalidIdError: an id is of the wrong type for this index, out of the range of int64, an empty string, or one
            longer than `MAX_ID_BYTES`; or `ids` is a map, whose keys nobody means.
        DimensionError: `ids` has more than one axis.
    """
    if is_single_id(ids):
        ids = [ids.item() if isinstance(ids, np.ndarray) else ids]
    elif not isinstance(ids, (np.ndarray, list, tuple)):
        refuse_map(ids)
        ids = _as_sequence(ids)
    if isinstance(ids, np.ma.MaskedArray) and has_masked(ids):
        raise InvalidIdError("ids has masked values: fill or drop them first")
    if isinstance(ids, np.ndarray) and ids.ndim != 1:
        raise DimensionError(f"ids must have one axis, got an array of shape {ids.shape}: vectors come before ids")
    if not isinstance(ids, (np.ndarray, list, tuple)):
        raise InvalidIdError(f"ids must be a sequence of {id_type} ids, got {type(ids).__name__}")
    return _as_int64(ids) if id_type == "int64" else _as_str(ids)


def refuse_map(ids: object) -> None:
    """Raise `InvalidIdError` for a map in place of ids: most likely a filter, or a payload."""
    if isinstance(ids, Mapping):
        raise InvalidIdError(
            f"ids are a sequence of ids, got a {type(ids).__name__}: to remove what a filter finds there is "
            "delete(where=...), and other calls take filters as where=; for its keys as ids give list(...)"
        )


def refuse_unordered(ids: object) -> None:
    """Refuse a set where ids line up with vectors, codes or payloads: its order is nobody's.

    Raises:
        InvalidIdError: `ids` is a set.
    """
    if isinstance(ids, (set, frozenset)):
        raise InvalidIdError(f"a {type(ids).__name__} of ids has no order: give a list, in the order of the vectors")


def _as_sequence(ids: Any) -> Any:
    """What other libraries give, as an array; any other iterable as a list; what is neither, as it came."""
    if not hasattr(ids, "__array__") and not hasattr(ids, "__dlpack__"):
        return list(ids) if isinstance(ids, Iterable) else ids
    kind = type(ids).__name__
    try:
        array = np.asarray(ids) if hasattr(ids, "__array__") else np.from_dlpack(ids)
    except MemoryError:
        raise
    except Exception as error:  # another library's refusal comes as any exception
        raise InvalidIdError(f"the {kind} of ids cannot be read as an array ({error}): give a list") from error
    if array.ndim == 0:
        raise InvalidIdError(f"ids are a sequence, got a {kind} without an axis: give .item() of it for a single id")
    return array


def _as_int64(ids: npt.NDArray[Any] | list[Any] | tuple[Any, ...]) -> IdArray:
    if len(ids) == 0:
        return np.empty(0, dtype=np.int64)
    if not isinstance(ids, np.ndarray) or ids.dtype == object:
        # An array made from mixed values would silently turn into float64 or str: look at every value first.
        for position, value in enumerate(ids):
            if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
                raise InvalidIdError(
                    f"this index has int64 ids, got {_show(value)} ({type(value).__name__}) at position {position}: "
                    "give integers, or create the index with id_type='str'"
                )
            if not -(2**63) <= value < 2**63:
                raise InvalidIdError(f"id {value} at position {position} is out of the range of int64")
        return np.array([int(value) for value in ids], dtype=np.int64)
    if ids.dtype.kind not in "iu":
        raise InvalidIdError(
            f"this index has int64 ids, got an array of {ids.dtype}: "
            "give integers, or create the index with id_type='str'"
        )
    if ids.dtype.kind == "u" and ids.dtype.itemsize == 8 and ids.max() >= 2**63:
        position = int(np.flatnonzero(ids >= 2**63)[0])
        raise InvalidIdError(f"id {ids[position]} at position {position} is out of the range of int64")
    return np.asarray(ids).astype(np.int64)


def _as_str(ids: npt.NDArray[Any] | list[Any] | tuple[Any, ...]) -> IdArray:
    batch = np.empty(len(ids), dtype=object)
    for position, value in enumerate(ids):
        if not isinstance(value, str):
            raise InvalidIdError(
                f"this index has str ids, got {_show(value)} ({type(value).__name__}) at position {position}: "
                "give strings, or create the index with id_type='int64'"
            )
        if not value:
            raise InvalidIdError(f"the id at position {position} is an empty string: an id has at least one character")
        # Every character takes one to four bytes: most strings need no encoding to be known short enough.
        if len(value) * 4 > MAX_ID_BYTES or not value.isascii():
            try:
                size = len(value.encode())
            except UnicodeEncodeError as error:
                raise InvalidIdError(f"the id at position {position} is not valid Unicode: {error}") from error
            if size > MAX_ID_BYTES:
                raise InvalidIdError(
                    f"the id at position {position} takes {size} bytes of UTF-8, {MAX_ID_BYTES} at most: "
                    f"use a hash of it as the id ({_show(value)})"
                )
        batch[position] = str.__str__(value)  # not str(): an enum would give its own name
    return batch


def check_distinct(ids: IdArray) -> None:
    """Refuse a batch that names an id twice.

    Raises:
        DuplicateIdError: names the id and both positions.
    """
    if ids.dtype == object:
        if len(set(ids.tolist())) == len(ids):
            return
        seen: dict[str, int] = {}
        for position, value in enumerate(ids.tolist()):
            if value in seen:
                _refuse_duplicate(value, seen[value], position)
            seen[value] = position
        return
    if len(ids) < 2 or np.all(ids[1:] > ids[:-1]):
        return
    ordered = np.sort(ids)
    twice = ordered[1:][ordered[1:] == ordered[:-1]]
    if len(twice):
        first, second = np.flatnonzero(ids == twice[0])[:2].tolist()
        _refuse_duplicate(int(twice[0]), first, second)


def _refuse_duplicate(value: object, first: int, second: int) -> None:
    raise DuplicateIdError(f"id {_show(value)} is given twice in this batch, at positions {first} and {second}")


def refuse_unknown(ids: IdArray, rows: I64) -> None:
    """Raise `UnknownIdError` when a row is -1, naming the ids it stands for."""
    unknown = ids[rows < 0]
    if len(unknown):
        shown = ", ".join(repr(value) for value in unknown[:5].tolist())
        more = f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
        raise UnknownIdError(f"{len(unknown)} of {len(ids)} ids are not in the index: {shown}{more}")


def automatic_names(count: int) -> IdArray:
    """`count` new str ids: random UUIDs, so that they cannot meet an id that anyone gave."""
    names = np.empty(count, dtype=object)
    names[:] = [uuid.uuid4().hex for _ in range(count)]
    return names


def _show(value: object, length: int = 60) -> str:
    text = repr(value)
    return text if len(text) <= length else text[: length - 3] + "..."
