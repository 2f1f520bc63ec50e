"""`IdSet`: ids that many searches allow or deny."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from pqstore.index.arguments.ids import refuse_map

__all__ = ["IdSet"]


class IdSet:
    """Ids that many searches allow or deny: their rows are looked up once for each state of the index.

    Example: ``mine = pqstore.IdSet(ids)``, then ``index.search(query, allow=mine)`` as often as you like. What is added
    to or removed from `ids` later does not count.
    """

    __slots__ = ("_ids",)

    def __init__(self, ids: Any) -> None:
        refuse_map(ids)
        self._ids = ids.copy() if isinstance(ids, np.ndarray) else list(ids)

    def __len__(self) -> int:
        """How many ids were given."""
        return len(self._ids)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._ids)
