"""Lists that were asked for when the index was made: they come once it has enough vectors for them."""

from __future__ import annotations

from typing import Any, TypeAlias

from pqstore.errors import CorruptIndexError, PQStoreError
from pqstore.index.arguments.counts import as_count
from pqstore.index.code_space import CodeSpace
from pqstore.index.lists.partitioning import partition
from pqstore.log import warning
from pqstore.quantizer.partitions import MAX_PARTITIONS, ROWS_PER_PARTITION
from pqstore.storage import Snapshot, SnapshotLists, Store

__all__ = ["Wish", "as_wish", "granted", "notes_of_wish", "wish_of"]

Wish: TypeAlias = "int | str | None"

AUTOMATIC_FROM = 100_000
"""Vectors from which "auto" makes lists: a scan of fewer takes less than a tenth of a millisecond or two."""
_NOTE = "partitions"


def as_wish(partitions: Any) -> Wish:
    """Check the argument `partitions` of `Index.create`.

    Raises:
        TypeError, ValueError: it is no number of partitions, "auto" or None.
    """
    if partitions is None or (isinstance(partitions, str) and partitions == "auto"):
        return partitions
    if isinstance(partitions, (bool, str)):
        raise TypeError(f"partitions must be a number, 'auto' or None, got {partitions!r}")
    count = as_count(partitions, "partitions")
    if count > MAX_PARTITIONS:
        raise ValueError(f"partitions must be at most {MAX_PARTITIONS:,}, got {count:,}")
    return count


def notes_of_wish(wish: Wish) -> dict[str, Any]:
    """What the index keeps of it."""
    return {} if wish is None else {_NOTE: wish}


def wish_of(snapshot: Snapshot) -> Wish:
    """What was asked for and is not there yet."""
    wish = snapshot.catalog.notes.get(_NOTE)
    try:
        return None if wish is None or snapshot.records.lists is not None else as_wish(wish)
    except (CorruptIndexError, TypeError, ValueError):
        return None  # who wants lists can still ask for them


def granted(store: Store, space: CodeSpace, wish: Wish) -> Wish:
    """Make the lists where there are enough vectors by now; what is still to be wished for. What fails is told, and
    tried again: the vectors themselves are in."""
    if wish is None:
        return None
    with store.read() as snapshot:
        if SnapshotLists(snapshot).read() is not None or wish_of(snapshot) is None:
            return None
        least = AUTOMATIC_FROM if isinstance(wish, str) else ROWS_PER_PARTITION * wish
        if snapshot.live_rows < least:
            return wish
    try:
        partition(store, space, wish, None, None, None)
    except PQStoreError as error:
        warning("index at %s: its lists could not be made (%s)", store.path, error)
        return wish
    return None
