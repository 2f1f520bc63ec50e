"""The seam between what a file says and what code expects of it: an error that a lying record caused gets its name."""

from __future__ import annotations

import struct
from typing import Final

import msgpack

from pqstore.errors import CorruptIndexError, PQStoreError

__all__ = ["decoding"]

# What code raises over numbers and texts that contradict each other. Decoders say more, and say it first.
_OVER_LIES: Final = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    MemoryError,
    RecursionError,
    SyntaxError,
    TypeError,
    ValueError,
    msgpack.exceptions.UnpackException,
    struct.error,
)


class decoding:  # noqa: N801 - reads as the statement that it is
    """For a `with` block that does nothing but read what is stored: what goes wrong there is damage."""

    __slots__ = ("_where",)

    def __init__(self, where: object) -> None:
        self._where = where

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, _OVER_LIES) and not isinstance(error, PQStoreError):
            raise CorruptIndexError(
                f"{self._where}: its records contradict each other ({type(error).__name__}: {error}); "
                "`repair` salvages what is sound"
            ) from error
