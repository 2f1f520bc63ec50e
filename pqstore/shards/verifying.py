"""What must hold between shards: every id in one of them, and in the one that its hash names where that is said."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from pqstore.index import Index
from pqstore.shards.repeated_ids import repeated
from pqstore.shards.routing import homes_of
from pqstore.storage import Problem

__all__ = ["INVARIANTS", "misplaced"]

_ID_TWICE, _ID_MISPLACED = 101, 102
INVARIANTS = {
    _ID_TWICE: "An id lies in one shard.",
    _ID_MISPLACED: 'Where the placement is "by hash", an id lies in the shard that its hash names.',
}
"""What must hold between shards, by number, as docs/format.md says it."""


def misplaced(shards: Mapping[int, Index], *, by_hash: bool) -> Iterator[tuple[int, Problem]]:
    """(number of a shard, a problem) for ids that lie in two shards, or elsewhere than they should."""
    numbers = sorted(shards)
    owners: list[int] = []

    def blocks() -> Iterator[Any]:
        owners.clear()
        for number in numbers:
            for ids, _ in shards[number].iter_codes():
                owners.append(number)
                yield ids if ids.dtype == np.int64 else ids.tolist()

    twice = repeated(blocks)
    if twice is not None:
        id_, first, second = twice
        yield (
            owners[second],
            Problem(_ID_TWICE, f"id {id_!r}", f"it lies in shards {owners[first]} and {owners[second]}"),
        )
    if not by_hash:
        return
    for number in numbers:
        for ids, _ in shards[number].iter_codes():
            homes = homes_of(ids, numbers)
            if (homes != number).any():
                at = int(np.flatnonzero(homes != number)[0])
                yield number, Problem(_ID_MISPLACED, f"id {ids[at]!r}", f"its hash names shard {homes[at]}")
                break
