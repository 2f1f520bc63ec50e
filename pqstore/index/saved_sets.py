"""Saved sets of ids, looked up by name."""

from __future__ import annotations

from pqstore.errors import UnknownSetError
from pqstore.index.arguments.ids import IdArray
from pqstore.index.reading import Reading
from pqstore.storage import Snapshot

__all__ = ["ids_of_set", "refuse_unknown_set", "sizes_of_sets"]


def sizes_of_sets(reading: Reading) -> dict[str, int]:
    """Names of the sets, and how many ids each has."""
    return {name: saved.ids for name, saved in sorted(reading.snapshot.catalog.sets.items())}


def ids_of_set(reading: Reading, name: str) -> IdArray:
    """The ids saved under a name.

    Raises:
        UnknownSetError: there are none.
    """
    ids: IdArray | None = reading.snapshot.saved_set(name)
    if ids is None:
        refuse_unknown_set(reading.snapshot, name)
    assert ids is not None
    return ids


def refuse_unknown_set(state: Snapshot, name: str) -> None:
    """Raise `UnknownSetError` when there is no set of this name."""
    sets = state.catalog.sets
    if name not in sets:
        known = ", ".join(repr(other) for other in sorted(sets)[:20]) or "none"
        raise UnknownSetError(f"no set of ids was saved under the name {name!r} (sets: {known})")
