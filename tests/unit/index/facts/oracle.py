"""Facts of a field in other words than the product's: over a list of payloads."""

from __future__ import annotations

import math
from collections import Counter
from datetime import datetime
from typing import Any

ORDER = [bool, (int, float), str, bytes, datetime, type(None)]
NAMES = ["bool", "number", "str", "bytes", "datetime", "null"]


def rank(value: Any) -> int | None:
    if isinstance(value, float) and math.isnan(value):
        return None
    return next((at for at, types in enumerate(ORDER) if isinstance(value, types)), None)


def values_of(payloads: list[dict | None], field: str) -> list[tuple[Any, int]]:
    """(value, rows), in order."""
    counts: Counter = Counter()
    for payload in payloads:
        if payload is not None and field in payload:
            value = payload[field]
            members = value if isinstance(value, list) else [value]
            counts.update(
                {(rank(member), member) for member in members if rank(member) is not None and hashable(member)}
            )
    ordered = sorted(counts, key=lambda key: (key[0], 0 if key[1] is None else key[1]) if key[0] != 2 else (2, 0))
    texts = sorted((key for key in counts if key[0] == 2), key=lambda key: key[1].encode())
    ordered = [k for k in ordered if k[0] < 2] + texts + [k for k in ordered if k[0] > 2]
    return [(value, counts[at, value]) for at, value in ordered]


def hashable(value: Any) -> bool:
    return not isinstance(value, (list, dict))


def kinds_of(payloads: list[dict | None]) -> dict[str, tuple[str, ...]]:
    found: dict[str, set[str]] = {}
    for payload in payloads:
        for field, value in (payload or {}).items():
            if isinstance(value, list):
                kinds = {f"list of {NAMES[rank(m)]}" for m in value if rank(m) is not None}
            else:
                kinds = {NAMES[rank(value)]} if rank(value) is not None else set()
            found.setdefault(field, set()).update(kinds or {"other"})
    return {field: tuple(sorted(kinds)) for field, kinds in sorted(found.items())}
