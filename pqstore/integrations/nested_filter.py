"""A filter on metadata, as a filter on the payload that keeps the metadata under a key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["under"]


def under(key: str, where: Any) -> Any:
    """The filter that asks of the map under `key` what `where` asks: ``{"year": 1}`` -> ``{"key.year": 1}``.

    What cannot be a filter comes back as it is, for the index to refuse.
    """
    if not isinstance(where, Mapping):
        return where
    return dict(_entry_under(key, name, value) for name, value in where.items())


def _entry_under(key: str, name: Any, value: Any) -> tuple[Any, Any]:
    if name in ("$and", "$or") and isinstance(value, (list, tuple)):
        return name, [under(key, part) for part in value]
    if name == "$not":
        return name, under(key, value)
    if isinstance(name, str) and not name.startswith("$"):
        return f"{key}.{name}", value
    return name, value
