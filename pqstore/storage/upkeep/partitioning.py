"""Lists made anew: a table, runs of all rows beside those that searches read, and a commit that puts them in their
place. Each piece is a transaction; who dies on the way goes on where he was."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from pqstore.errors import CorruptIndexError
from pqstore.storage.disk import crash_points
from pqstore.storage.format import records
from pqstore.storage.format.list_state import ListState, PartitionedRows
from pqstore.storage.lists.stored_table import StoredTable, write_table
from pqstore.storage.transactions.features import declare_feature
from pqstore.storage.transactions.list_reads import pending_segments
from pqstore.storage.transactions.pending import PendingRecords
from pqstore.storage.transactions.write import WriteTransaction
from pqstore.storage.upkeep.listing import merge_lists, put_into_run

__all__ = ["begin_lists", "drop_lists", "fill_lists"]

_MERGED_AT_ONCE: Final = 1 << 20  # rows


def begin_lists(txn: WriteTransaction, table: StoredTable) -> None:
    """Store a table by which lists will be made; what an earlier call has begun is given up."""
    pending = txn.records
    state = _sound_state(pending) or ListState()
    _delete(pending, _stored_numbers(pending) - (set() if state.current is None else state.current.numbers))
    number = pending.state.next_run
    write_table(number, table, pending.put)
    pending.state = pending.state._replace(next_run=number + 1)
    building = PartitionedRows(number, len(table.stored), pending.state.live_rows)
    pending.changed_lists = (replace(state, building=building),)
    declare_feature(pending, records.LISTS)
    crash_points.reach("list table written")


def fill_lists(txn: WriteTransaction, merged: set[int]) -> bool:
    """A piece of the work on the lists that were begun; True when they are whole, and are what searches read.

    `merged` as of `merge_lists`.
    """
    pending, limits = txn.records, txn.records.generation.limits
    state = pending.lists
    if state is None or state.building is None:
        return True  # another process has finished or dropped them
    building = state.building
    if len(pending_segments(pending, building)):
        building, _ = put_into_run(txn, building, limits.list_run_rows)
        pending.changed_lists = (replace(state, building=building),)
        return False
    building, done = merge_lists(txn, building, _MERGED_AT_ONCE, merged)
    if not done:
        pending.changed_lists = (replace(state, building=building),)
        return False
    _delete(pending, _stored_numbers(pending) - building.numbers)
    next_row = txn.schema.geometry.next_row(pending.state)
    pending.changed_lists = (ListState(building, None, next_row),)
    crash_points.reach("lists switched")
    return True


def drop_lists(txn: WriteTransaction) -> bool:
    """Remove all that there is of lists; whether there was anything."""
    pending = txn.records
    if pending.get("meta", records.LISTS_KEY) is None:
        return False
    _delete(pending, _stored_numbers(pending))
    pending.changed_lists = (None,)
    declare_feature(pending, records.LISTS, there=False)
    crash_points.reach("lists dropped")
    return True


def _sound_state(pending: PendingRecords) -> ListState | None:
    """What there is of lists; None, too, where it cannot be read: all of it is made anew then."""
    try:
        return pending.lists
    except CorruptIndexError:
        return None


def _stored_numbers(pending: PendingRecords) -> set[int]:
    """Of all tables and runs of lists that are stored, sound or not: what is under `runs` and not of the id map."""
    state = pending.base.state
    others = {info.run for info in state.runs} | (set() if state.merge is None else {state.merge.output})
    stored = {int.from_bytes(key[:8], "big") for name in ("runs", "runchunks") for key in pending.base.keys(name)}
    return stored - others


def _delete(pending: PendingRecords, numbers: set[int]) -> None:
    """Remove tables and runs of lists."""
    for database in ("runs", "runchunks"):
        for key in pending.base.keys(database):
            if int.from_bytes(key[:8], "big") in numbers:
                pending.delete(database, key)
