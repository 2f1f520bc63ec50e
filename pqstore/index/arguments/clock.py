"""A clock as callers give it: what says which vectors have expired."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable
from typing import Any, TypeAlias

from pqstore.storage import Moment, microseconds_now

__all__ = ["Clock", "as_moment"]

Clock: TypeAlias = "Callable[[], float]"
"""Seconds since 1970, as `time.time` gives them."""

_FURTHEST = 9e12  # seconds: what a datetime can say, and more


def as_moment(clock: Any) -> Moment:
    """The clock as the storage asks it; None: that of the machine.

    Raises:
        TypeError: it cannot be called. Each call raises TypeError or ValueError where it gives no time.
    """
    if clock is None:
        return microseconds_now
    if not callable(clock):
        raise TypeError(f"clock must be a function that gives seconds since 1970, got {type(clock).__name__}")

    def moment() -> int:
        seconds = clock()
        if isinstance(seconds, bool) or not isinstance(seconds, numbers.Real):
            raise TypeError(f"clock must give seconds since 1970 as a number, gave {type(seconds).__name__}")
        if not abs(float(seconds)) <= _FURTHEST or math.isnan(seconds):
            raise ValueError(f"clock must give seconds since 1970, gave {seconds}")
        return round(float(seconds) * 1e6)  # the nearest: a float64 is exact to a quarter of a microsecond

    return moment
