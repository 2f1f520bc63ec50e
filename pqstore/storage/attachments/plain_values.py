"""What payloads are made of: every value is made plain once, so that what is packed is what fields are indexed by.

A plain value is None, or exactly of type bool, int (64 bits), float, str, bytes, datetime (UTC), list, dict or
`msgpack.ExtType`. All of them come back from msgpack equal to what was packed, NaN as NaN.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timezone
from enum import Enum
from types import NoneType
from typing import Any, Final

import msgpack
import numpy as np

from pqstore.errors import InvalidPayloadError

__all__ = ["PLAIN_SCALARS", "UnfitValueError", "plain_moment", "plain_payload", "plain_value"]

PLAIN_SCALARS: Final = frozenset({str, int, float, bool, NoneType, bytes})
"""Types whose values are plain as they are, but for an int beyond 64 bits and a str that is not Unicode."""

# By far the most frequent of those that are not plain.
_NUMPY_NUMBERS: Final = frozenset(np.dtype(code).type for code in ("?", *"bhilqBHILQ", *"efd"))

_KINDS = "maps, lists, str, numbers of 64 bits, bool, None, bytes and datetimes with a time zone"
_OUT_OF_RANGE = "is a time outside the years 1 to 9999 in UTC"


class UnfitValueError(ValueError):
    """A value cannot be stored: why, and (outermost last) the steps to it from the value that was asked about."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.steps: list[str] = []


def plain_payload(payload: Any, position: int) -> dict[str, Any]:
    """A payload with plain keys and values. `position` is the caller's number of it, for messages.

    Raises:
        InvalidPayloadError: not a map with str keys, or a value that could not be read again; names the key.
    """
    if not isinstance(payload, Mapping):
        raise InvalidPayloadError(
            f"payload {position} must be a dict with str keys, or None, got {type(payload).__name__}"
        )
    for key in payload:
        if not isinstance(key, str):
            raise InvalidPayloadError(
                f"payload {position} has the key {key!r} ({type(key).__name__}): top-level keys are str"
            )
    try:
        plain: dict[str, Any] = plain_value(payload)
    except UnfitValueError as error:
        where = "".join(reversed(error.steps))
        raise InvalidPayloadError(
            f"payload {position} cannot be stored: {f'its value {where} ' if where else 'it '}{error}. "
            f"Payloads hold {_KINDS}"
        ) from error
    except RecursionError as error:
        raise InvalidPayloadError(f"payload {position} cannot be stored: it is nested too deeply") from error
    return plain


def plain_value(value: Any) -> Any:
    """The plain value that stands for this one.

    Tuples and their like become lists, bytearray and memoryview bytes, enums with a type their value, NumPy's scalars
    those of Python; times are counted in UTC.

    Raises:
        UnfitValueError: there is none.
    """
    # One call a level, so that Python's limit on nesting is the larger one of the two.
    kind = type(value)
    if kind in PLAIN_SCALARS:
        return _checked(value)
    if kind in _NUMPY_NUMBERS:
        return value.item()
    if kind is dict or isinstance(value, Mapping):
        entries: dict[Any, Any] = {}
        for key, entry in value.items():
            try:
                entries[_plain_key(key)] = plain_value(entry)
            except UnfitValueError as error:
                error.steps.append(f"[{key!r}]")
                raise
        if len(entries) < len(value):
            raise UnfitValueError("has two keys that would be stored as one")
        return entries
    if isinstance(value, (list, tuple)) and not isinstance(value, msgpack.ExtType):
        items: list[Any] = []
        for at, item in enumerate(value):
            try:
                items.append(plain_value(item))
            except UnfitValueError as error:
                error.steps.append(f"[{at}]")
                raise
        return items
    return _plain_scalar(value)


def _plain_key(key: Any) -> Any:
    plain = plain_value(key)
    if isinstance(plain, (list, dict)):
        raise UnfitValueError(f"is named by a {type(key).__name__}, which cannot be the key of a map: use a str")
    return plain


def _plain_scalar(value: Any) -> Any:  # noqa: PLR0911 # one line a type
    if isinstance(value, datetime):
        return plain_moment(value)
    if isinstance(value, str):
        return _checked(str.__str__(value))  # not str(): an enum would give its own name
    if isinstance(value, int):
        return _checked(int.__index__(value))
    if isinstance(value, float):
        return float.__float__(value)
    if isinstance(value, bytes):
        return bytes.__getitem__(value, slice(None))
    if isinstance(value, (bytearray, memoryview)):
        return bytes(value)
    if isinstance(value, np.generic):
        return _of_numpy(value)
    if isinstance(value, msgpack.Timestamp):
        if value.nanoseconds % 1000:
            raise UnfitValueError("is a time finer than a microsecond: round it")
        return _in_range(value.to_datetime)
    if isinstance(value, msgpack.ExtType):
        return value
    raise UnfitValueError(_why_not(value))


def _checked(value: Any) -> Any:
    """A value of a plain type, unless it is one of those that cannot be packed."""
    if type(value) is int and not -(2**63) <= value < 2**64:
        raise UnfitValueError("is a whole number beyond 64 bits: store it as a str")
    if type(value) is str and not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise UnfitValueError(f"is not valid Unicode ({error})") from error
    return value


def _of_numpy(value: np.generic) -> Any:
    if isinstance(value, np.datetime64):
        return plain_moment(value)
    plain = value.item()
    if isinstance(plain, np.floating):  # longdouble has no type of Python's that holds all of it
        if float(plain) != plain and not np.isnan(plain):
            raise UnfitValueError("is a longdouble that float64 does not hold: round it with float()")
        return float(plain)
    if isinstance(plain, np.generic) or isinstance(value, np.timedelta64):
        raise UnfitValueError(_why_not(value))
    return plain_value(plain)


def plain_moment(value: datetime | np.datetime64) -> datetime:
    """A moment as a datetime of exactly that type, in UTC. NumPy's times have no zone: they count as UTC.

    Raises:
        UnfitValueError: there is no time zone, no such moment (NaT), or one that datetime cannot
            hold to the microsecond.
    """
    if type(value) is datetime and value.tzinfo is timezone.utc:
        return value
    if value != value:  # noqa: PLR0124 # the sign of NaT, NumPy's and that of pandas
        raise UnfitValueError("is no time (NaT): give None")
    if isinstance(value, np.datetime64):
        return _of_datetime64(value)
    offset = value.utcoffset()
    if offset is None:
        raise UnfitValueError(
            f"is a {type(value).__name__} without a time zone, which names no moment: give it one, as in "
            ".replace(tzinfo=timezone.utc)"
        )
    if getattr(value, "nanosecond", 0):  # pandas
        raise UnfitValueError("is a time finer than a microsecond: round it, as in .floor('us')")
    local = datetime(
        value.year, value.month, value.day, value.hour, value.minute, value.second, value.microsecond, timezone.utc
    )
    return _in_range(lambda: local - offset)


def _of_datetime64(value: np.datetime64) -> datetime:
    micro = value.astype("datetime64[us]")
    moment = micro.item()
    same = micro.astype(value.dtype) == value  # NumPy's casts go round silently
    if not same and np.datetime_data(value.dtype)[0] in ("ns", "ps", "fs", "as"):
        raise UnfitValueError("is a time finer than a microsecond: round it, as in .astype('datetime64[us]')")
    if not same or not isinstance(moment, datetime):
        raise UnfitValueError(_OUT_OF_RANGE)
    return moment.replace(tzinfo=timezone.utc)


def _in_range(moment: Any) -> datetime:
    try:
        found: datetime = moment()
    except (OverflowError, ValueError) as error:
        raise UnfitValueError(_OUT_OF_RANGE) from error
    return found


def _why_not(value: object) -> str:
    """What is wrong with a value that no plain one stands for."""
    name = type(value).__name__
    if isinstance(value, np.ndarray):
        return "is an array: give a list, as in .tolist()"
    if isinstance(value, (set, frozenset)):
        return f"is a {name}, which has no order: give a list"
    if isinstance(value, date):
        return "is a date, which names no moment: give a datetime with a time zone, or a str"
    if isinstance(value, Enum):
        return f"is a {name}: give its .value"
    return f"is of type {name}"
