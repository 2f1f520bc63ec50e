"""A clock that gives no time is told of."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from pqstore.index.arguments.clock import as_moment


def test_the_clock_of_the_machine() -> None:
    before = time.time_ns() // 1000
    assert before <= as_moment(None)() <= time.time_ns() // 1000


@pytest.mark.parametrize("seconds", [0, -1.5, 1_800_000_000.123457, np.float64(4e9)])
def test_seconds_become_microseconds(seconds: Any) -> None:
    assert as_moment(lambda: seconds)() == round(seconds * 1e6)


@pytest.mark.parametrize("clock", [5, "now", 1.5])
def test_no_function(clock: Any) -> None:
    with pytest.raises(TypeError, match=r"clock must be a function that gives seconds since 1970"):
        as_moment(clock)


@pytest.mark.parametrize(
    ("given", "error"),
    [("5", TypeError), (None, TypeError), (True, TypeError), (float("nan"), ValueError), (1e30, ValueError)],
)
def test_no_time(given: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"clock must give seconds since 1970"):
        as_moment(lambda: given)()
