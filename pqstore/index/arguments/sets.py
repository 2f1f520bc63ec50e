"""Saved sets of ids: their names and contents as callers give them."""

from __future__ import annotations

from typing import Any

import numpy as np

from pqstore.errors import InvalidIdError
from pqstore.index.arguments.ids import IdArray, IdType, as_id_batch

__all__ = ["as_set_ids", "as_set_name"]

_LONGEST_NAME = 512


def as_set_name(name: Any) -> str:
    """Check the name of a set.

    Raises:
        TypeError, ValueError: no str, an empty or a very long one, or one that is not valid Unicode.
    """
    if not isinstance(name, str):
        raise TypeError(f"the name of a set must be a str, got {type(name).__name__}: the order is save_set(name, ids)")
    try:
        size = len(name.encode())
    except UnicodeEncodeError as error:
        raise ValueError(f"the name of a set is not valid Unicode: {error}") from error
    if not 1 <= size <= _LONGEST_NAME:
        raise ValueError(f"the name of a set has 1 to {_LONGEST_NAME} bytes of UTF-8, got {size}")
    return str.__str__(name)


def as_set_ids(ids: Any, id_type: IdType) -> IdArray:
    """The ids of a set, ascending, each once.

    Raises:
        InvalidIdError: an id cannot be one of this index; or a str, which would be the name of another set.
    """
    if isinstance(ids, str):
        raise InvalidIdError(f"a set takes a sequence of ids, got the str {ids!r}: put a single id into a list")
    batch = as_id_batch(ids, id_type)
    if id_type == "int64":
        return np.unique(batch)
    distinct = sorted(set(batch.tolist()))
    texts = np.empty(len(distinct), dtype=object)
    texts[:] = distinct
    return texts
