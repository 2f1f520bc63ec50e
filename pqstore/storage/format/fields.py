"""What a value that comes out of a file must be: its type, its range, its length, said once beside the layout.

A field takes a value as msgpack gives it, and gives it back as it is used: lists as tuples. What does not fit raises
`UnfitError`, which says where in the value it lies.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeAlias

import msgpack

from pqstore.errors import CorruptIndexError

__all__ = [
    "Field",
    "UnfitError",
    "anything",
    "binary",
    "flag",
    "list_of",
    "map_of",
    "matching",
    "member",
    "nullable",
    "one_of",
    "real",
    "record_of",
    "row",
    "text",
    "unpack",
    "whole",
]

Field: TypeAlias = Callable[[Any], Any]

_LONGEST_LIST: Final = 1 << 16  # msgpack makes room for as many members as a list claims, before it has read one


class UnfitError(ValueError):
    """A value is not what its field says."""

    def __init__(self, value: Any, wanted: str) -> None:
        self.value = value
        self.wanted = wanted
        self.place = ""

    def within(self, place: str) -> UnfitError:
        """The same, of a value that lies at a place in another."""
        self.place = place + self.place
        return self

    def __str__(self) -> str:
        shown = repr(self.value) if isinstance(self.value, (int, float, bool, type(None))) else ""
        what = shown if 0 < len(shown) <= 40 else f"a {type(self.value).__name__}"
        return f"{self.place.lstrip('.') or 'it'} is {what}, not {self.wanted}"


def whole(least: int, most: int) -> Field:
    """An int."""

    def check(value: Any) -> Any:
        if type(value) is not int or not least <= value <= most:
            raise UnfitError(value, f"a whole number from {least} to {most}")
        return value

    return check


def real(least: float, most: float) -> Field:
    """A float, no NaN."""

    def check(value: Any) -> Any:
        if type(value) is not float or not least <= value <= most:
            raise UnfitError(value, f"a real number from {least:g} to {most:g}")
        return value

    return check


def text(most: int, least: int = 1) -> Field:
    """A str of so many bytes of UTF-8."""

    def check(value: Any) -> Any:
        if type(value) is not str or not least <= len(value.encode(errors="replace")) <= most:
            raise UnfitError(value, f"a text of {least} to {most} bytes")
        return value

    return check


def matching(pattern: str, wanted: str) -> Field:
    """A str that a pattern matches as a whole; `wanted` says of what kind."""
    compiled = re.compile(pattern, re.ASCII)

    def check(value: Any) -> Any:
        if type(value) is not str or compiled.fullmatch(value) is None:
            raise UnfitError(value, wanted)
        return value

    return check


def binary(size: int) -> Field:
    """So many bytes."""

    def check(value: Any) -> Any:
        if type(value) is not bytes or len(value) != size:
            raise UnfitError(value, f"{size} bytes")
        return value

    return check


def flag(value: Any) -> Any:
    """A bool."""
    if type(value) is not bool:
        raise UnfitError(value, "true or false")
    return value


def anything(value: Any) -> Any:
    """What others check, or nobody."""
    return value


def one_of(*words: str) -> Field:
    """One of some words."""

    def check(value: Any) -> Any:
        if type(value) is not str or value not in words:
            raise UnfitError(value, f"one of {', '.join(words)}")
        return value

    return check


def nullable(field: Field) -> Field:
    """None, or what the field says."""

    def check(value: Any) -> Any:
        return None if value is None else field(value)

    return check


def list_of(field: Field, most: int = _LONGEST_LIST, least: int = 0) -> Field:
    """A list, each member as the field says: a tuple."""

    def check(value: Any) -> Any:
        if type(value) is not list or not least <= len(value) <= most:
            raise UnfitError(value, f"a list of {least} to {most}" if least else f"a list of up to {most}")
        try:
            return tuple([field(entry) for entry in value])
        except UnfitError:
            raise _place((f"[{at}]", field, entry) for at, entry in enumerate(value)) from None

    return check


def row(*fields: Field, make: Callable[..., Any] | None = None) -> Field:
    """A list of exactly these: a tuple, or what `make` makes of them."""

    def check(value: Any) -> Any:
        if type(value) is not list or len(value) != len(fields):
            raise UnfitError(value, f"a list of {len(fields)}")
        try:
            members = [field(entry) for field, entry in zip(fields, value, strict=True)]
        except UnfitError:
            pairs = enumerate(zip(fields, value, strict=True))
            raise _place((f"[{at}]", field, entry) for at, (field, entry) in pairs) from None
        return tuple(members) if make is None else make(*members)

    return check


def map_of(key: Field, field: Field) -> Field:
    """A map, each key and each value as the fields say."""

    def check(value: Any) -> Any:
        if type(value) is not dict:
            raise UnfitError(value, "a map")
        try:
            return {key(name): field(entry) for name, entry in value.items()}
        except UnfitError:
            parts = [part for pair in value.items() for part in ((".key", key, pair[0]), ("[...]", field, pair[1]))]
            raise _place(parts) from None

    return check


def record_of(fields: Mapping[str, Field], optional: Mapping[str, Field] | None = None) -> Field:
    """A map with exactly these keys, and any of the optional ones: a dict."""
    optional = optional or {}
    known = {**fields, **optional}

    def check(value: Any) -> Any:
        if type(value) is not dict or not fields.keys() <= value.keys() <= known.keys():
            raise UnfitError(value, f"a map of {', '.join(sorted(fields))}")
        try:
            return {name: known[name](entry) for name, entry in value.items()}
        except UnfitError:
            raise _place((f".{name}", known[name], entry) for name, entry in value.items()) from None

    return check


def member(name: str, field: Field) -> Field:
    """What a map has under a key, whatever else it has."""

    def check(value: Any) -> Any:
        if type(value) is not dict or name not in value:
            raise UnfitError(value, f"a map with {name}")
        return field(value[name])

    return check


def _place(parts: Iterable[tuple[str, Field, Any]]) -> UnfitError:
    """The error of the first of some (place, field, value) that does not fit, which one of them does not."""
    for place, field, value in parts:
        try:
            field(value)
        except UnfitError as error:
            return error.within(place)
    raise AssertionError("a field that does not fit, and then fits")


def unpack(content: memoryview, name: str, field: Field) -> Any:
    """The value of msgpack bytes, as the field says.

    Raises:
        CorruptIndexError: it is no msgpack, or another value; `name` says of what record.
    """
    try:
        plain = msgpack.unpackb(content, raw=False, strict_map_key=False, max_array_len=_LONGEST_LIST)
    except (ValueError, TypeError, OverflowError, RecursionError, msgpack.exceptions.UnpackException) as error:
        raise CorruptIndexError(f"{name}: not the msgpack that it must be ({error})") from error
    try:
        return field(plain)
    except UnfitError as error:
        raise CorruptIndexError(f"{name}: {error}") from None
