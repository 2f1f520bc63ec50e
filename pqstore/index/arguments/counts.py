"""Numbers as callers give them: how many neighbours, candidates, records; how long to wait."""

from __future__ import annotations

import numbers
import operator
from typing import Any

__all__ = ["MAX_RESULT_BYTES", "as_count", "as_timeout", "check_results"]

MAX_RESULT_BYTES = 4 << 30
"""Most bytes of distances and rows, 12 a place, that one call may ask for: padding counts, so no k is too large to be
thought of."""

_RESULT_BYTES = 12
_MOST_RESULTS = MAX_RESULT_BYTES // _RESULT_BYTES


def as_count(value: Any, name: str) -> int:
    """A whole number of at least 1.

    Raises:
        TypeError: it is no integer. ValueError: it is below 1.
    """
    try:
        count = operator.index(value)
    except TypeError as error:
        order = f": the order is search(queries, {name})" if name == "k" else ""
        raise TypeError(f"{name} must be an integer, got {type(value).__name__}{order}") from error
    if count < 1:
        raise ValueError(f"{name} must be at least 1, got {count}")
    return count


def as_timeout(value: Any) -> float | None:
    """Seconds to wait for another writer; None: as long as is usual.

    Raises:
        TypeError: it is no number. ValueError: it is negative or NaN.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"timeout must be a number of seconds or None, got {type(value).__name__}")
    if not float(value) >= 0:
        raise ValueError(f"timeout must be at least 0 seconds, got {value}")
    return float(value)


def check_results(queries: int, count: int, name: str) -> None:
    """Refuse `count` places (the argument `name`) for each of so many queries where no machine should hold them.

    Raises:
        ValueError: they would take more than `MAX_RESULT_BYTES`.
    """
    if queries * count > _MOST_RESULTS:
        raise ValueError(
            f"{name} = {count:,} for {queries:,} {'query' if queries == 1 else 'queries'} asks for "
            f"{queries * count * _RESULT_BYTES / 1e9:,.0f} GB of results, {MAX_RESULT_BYTES / 1e9:.1f} GB at most: "
            f"ask for {_MOST_RESULTS // queries:,} or fewer, or for fewer queries at a time"
        )
