"""What a document may say: for each of its values a type, a range and a length. What does not hold is named."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from pqstore.errors import DocumentError

__all__ = ["Check", "choice", "listed", "mapped", "matching", "optional", "row", "text", "truth", "whole"]

Check: TypeAlias = Callable[[Any, str], Any]
"""(value, place) -> the value.

Raises:
    DocumentError: it cannot be; the message names the place.
"""

_LARGEST = 1 << 62
_SHOWN = 60


def whole(least: int = 0, most: int = _LARGEST) -> Check:
    """A whole number in a range."""

    def check(value: Any, place: str) -> int:
        if type(value) is not int or not least <= value <= most:
            raise _unfit(place, f"a whole number in {least}..{most}", value)
        return value

    return check


def text(most: int = 4096, least: int = 1) -> Check:
    """A string of so many characters."""

    def check(value: Any, place: str) -> str:
        if type(value) is not str or not least <= len(value) <= most or "\0" in value:
            raise _unfit(place, f"a text of {least} to {most} characters", value)
        return value

    return check


def matching(pattern: str, what: str) -> Check:
    """A string that a pattern matches as a whole."""
    compiled = re.compile(pattern, re.ASCII)

    def check(value: Any, place: str) -> str:
        if type(value) is not str or compiled.fullmatch(value) is None:
            raise _unfit(place, what, value)
        return value

    return check


def choice(*values: str) -> Check:
    """One of these words."""

    def check(value: Any, place: str) -> str:
        if type(value) is not str or value not in values:
            raise _unfit(place, f"one of {', '.join(values)}", value)
        return value

    return check


def truth(value: Any, place: str) -> bool:
    """True or false."""
    if type(value) is not bool:
        raise _unfit(place, "true or false", value)
    return value


def optional(of: Check) -> Check:
    """None, or what another check takes."""

    def check(value: Any, place: str) -> Any:
        return None if value is None else of(value, place)

    return check


def listed(of: Check, most: int, least: int = 0) -> Check:
    """A list of so many members, each of one kind."""

    def check(value: Any, place: str) -> list[Any]:
        if type(value) is not list or not least <= len(value) <= most:
            raise _unfit(place, f"a list of {least} to {most} members", value)
        return [of(member, f"{place}[{at}]") for at, member in enumerate(value)]

    return check


def row(*of: Check) -> Check:
    """A list of as many members as there are checks, each for its own."""

    def check(value: Any, place: str) -> list[Any]:
        if type(value) is not list or len(value) != len(of):
            raise _unfit(place, f"a list of {len(of)} members", value)
        return [one(member, f"{place}[{at}]") for at, (one, member) in enumerate(zip(of, value, strict=True))]

    return check


def mapped(fields: Mapping[str, Check]) -> Check:
    """A map with exactly these fields."""

    def check(value: Any, place: str) -> dict[str, Any]:
        if type(value) is not dict or value.keys() != fields.keys():
            got = sorted(value) if type(value) is dict else value
            raise _unfit(place, f"a map of {', '.join(fields)}", got)
        return {name: of(value[name], f"{place}.{name}" if place else name) for name, of in fields.items()}

    return check


def _unfit(place: str, expected: str, value: Any) -> DocumentError:
    shown = repr(value) if not isinstance(value, (dict, list)) or len(value) < _SHOWN else f"{len(value)} values"
    return DocumentError(f"{place or 'the document'}: {expected} expected, got {shown[:_SHOWN]}")
