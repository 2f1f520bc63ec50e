"""Values of payloads and results as JSON."""

from __future__ import annotations

import math
from typing import Any

from pqstore.cli.printed import OBEYED

__all__ = ["as_plain", "json_text"]


def json_text(value: Any, *, ascii_only: bool = False) -> str:
    """A value as one line of JSON, in which such characters are escaped; with `ascii_only` all beyond ASCII are."""
    import json

    text = json.dumps(as_plain(value), ensure_ascii=ascii_only, allow_nan=False)
    # They stand within strings only, where JSON has an escape for each.
    return text if ascii_only else OBEYED.sub(lambda match: json.dumps(match[0])[1:-1], text)


def as_plain(value: Any) -> Any:
    """A payload as JSON can say it: NaN and infinities as null, bytes in base64, times in ISO 8601, keys as text."""
    # Loops, not comprehensions: those would take two frames a level, and payloads may be 500 levels deep.
    if isinstance(value, dict):
        made: dict[str, Any] = {}
        for key, inner in value.items():
            made[_key(key, made)] = as_plain(inner)
        return made
    if isinstance(value, (list, tuple)):
        items = []
        for inner in value:
            items.append(as_plain(inner))
        return items
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (str, int)):
        return value
    return _as_text(value)


def _as_text(value: Any) -> str:
    if isinstance(value, (bytes, bytearray, memoryview)):
        import base64

        return base64.b64encode(value).decode()
    return str(value.isoformat()) if hasattr(value, "isoformat") else str(value)


def _key(key: Any, taken: dict[str, Any]) -> str:
    """The text of a key; where it is that of another key, with its type behind it."""
    if isinstance(key, str):
        text = key
    elif key is None or isinstance(key, (bool, int, float)):
        import json

        text = json.dumps(key)
    else:
        text = _as_text(key)
    while text in taken:
        text = f"{text} ({type(key).__name__})"
    return text
