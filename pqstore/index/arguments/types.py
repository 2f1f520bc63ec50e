"""What arguments of an index may be, for type checkers. Values are checked where they are taken."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypeAlias

import numpy as np

__all__ = ["Filter", "Id", "Include", "Included", "Missing", "OnConflict", "Payload", "Payloads", "Rerank"]

Id: TypeAlias = "int | str | np.integer[Any]"
Payload: TypeAlias = "Mapping[str, Any]"
"""What is stored with a vector: str keys; maps, lists, str, numbers, bool, None, bytes and datetimes as values."""
Payloads: TypeAlias = "Iterable[Payload | None] | None"
Filter: TypeAlias = "Mapping[str, Any]"
"""Conditions on payloads: ``{"lang": "de", "year": {"$gte": 2020}, "$or": [...]}``."""
OnConflict = Literal["error", "skip", "replace"]
Missing = Literal["error", "ignore"]
Included = Literal["payload", "vector"]
Include: TypeAlias = "Included | Iterable[Included]"
Rerank: TypeAlias = "int | Literal['auto'] | None"
