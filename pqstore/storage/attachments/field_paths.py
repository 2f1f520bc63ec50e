"""Where the value of a field is in a payload: a key, or a path of keys through maps within maps.

A name is looked for as a key first, whole. Where there is none and the name has dots, each dot in turn, from the left,
divides it into the key of a map and a name that is looked for in that map by the same rule; what is found first counts.
So keys that hold dots themselves are found as they are written, and lists are not looked into.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

__all__ = ["ABSENT", "field_name", "field_numbers", "field_value", "stored_field", "value_at"]

ABSENT: Final = object()
"""In place of the value of a field that a payload does not have."""

# Before paths there were fields with a dot in their name, whose columns know keys only: these mean what they meant.
_PATH: Final = "$."


def value_at(entries: Mapping[Any, Any], name: str) -> Any:
    """The value that a filter means by a name; `ABSENT` where there is none."""
    value = entries.get(name, ABSENT)
    at = name.find(".") if value is ABSENT else -1
    while at >= 0 and value is ABSENT:
        inner = entries.get(name[:at])
        if type(inner) is dict:
            value = value_at(inner, name[at + 1 :])
        at = name.find(".", at + 1)
    return value


def field_value(payload: Mapping[str, Any], stored: str) -> Any:
    """The value that the column of a field has of a payload; `ABSENT` where there is none."""
    return value_at(payload, stored.removeprefix(_PATH)) if stored.startswith(_PATH) else payload.get(stored, ABSENT)


def stored_field(name: str) -> str:
    """What the catalog calls a field that gets an index."""
    return _PATH + name if "." in name else name


def field_name(stored: str) -> str:
    """What filters call a field of the catalog."""
    return stored.removeprefix(_PATH)


def field_numbers(fields: Iterable[str]) -> dict[str, int]:
    """Numbers of columns by what filters call their fields, of those columns that say all that a filter means."""
    return {
        field_name(stored): number for number, stored in enumerate(fields) if stored == stored_field(field_name(stored))
    }
