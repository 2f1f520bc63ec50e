"""Errors that lying records cause get a name; those of callers, of the system and of interrupts stay theirs."""

from __future__ import annotations

import struct

import pytest

from pqstore.errors import CorruptIndexError, InvalidIdError
from pqstore.storage.format.decoding import decoding


@pytest.mark.parametrize(
    "error",
    [KeyError("a"), IndexError(), OverflowError(), struct.error(), SyntaxError(), AssertionError(), TypeError()],
)
def test_errors_of_lying_records(error: Exception) -> None:
    with (
        pytest.raises(CorruptIndexError, match=type(error).__name__) as caught,
        decoding("the index"),
    ):
        raise error
    assert caught.value.__cause__ is error


@pytest.mark.parametrize("error", [InvalidIdError("no"), PermissionError(), KeyboardInterrupt(), StopIteration()])
def test_others_stay_what_they_are(error: BaseException) -> None:
    with pytest.raises(type(error)) as caught, decoding("the index"):
        raise error
    assert caught.value is error
