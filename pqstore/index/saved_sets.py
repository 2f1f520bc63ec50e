"""Saved sets of ids, looked up by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pqstore.errors import UnknownSetError
from pqstore.index.arguments.ids import IdArray, IdType
from pqstore.index.arguments.sets import as_set_ids, as_set_name
from pqstore.index.reading import Reading
from pqstore.storage import Snapshot, WriteTransaction

__all__ = ["dropping_of_set", "ids_of_set", "saving_of_set", "sizes_of_sets"]


def sizes_of_sets(state: Snapshot) -> dict[str, int]:
    """Names of the sets, and how many ids each has."""
    return {name: saved.ids for name, saved in sorted(state.catalog.sets.items())}


def ids_of_set(reading: Reading, name: str) -> IdArray:
    """The ids saved under a name.

    Raises:
        UnknownSetError: there are none.
    """
    ids: IdArray | None = reading.snapshot.saved_set(name)
    if ids is None:
        _refuse_unknown_set(reading.snapshot, name)
    assert ids is not None
    return ids


def saving_of_set(name: str, ids: Any, id_type: IdType) -> Callable[[WriteTransaction], int]:
    """The change that `pqstore.Index.save_set` makes, its arguments checked."""
    checked, batch = as_set_name(name), as_set_ids(ids, id_type)

    def change(txn: WriteTransaction) -> int:
        txn.save_set(checked, batch)
        return len(batch)

    return change


def dropping_of_set(name: str) -> Callable[[WriteTransaction], None]:
    """The change that `pqstore.Index.drop_set` makes, its argument checked."""
    checked = as_set_name(name)

    def change(txn: WriteTransaction) -> None:
        _refuse_unknown_set(txn.visible, checked)
        txn.save_set(checked, None)

    return change


def _refuse_unknown_set(state: Snapshot, name: str) -> None:
    sets = state.catalog.sets
    if name not in sets:
        known = ", ".join(repr(other) for other in sorted(sets)[:20]) or "none"
        raise UnknownSetError(f"no set of ids was saved under the name {name!r} (sets: {known})")
