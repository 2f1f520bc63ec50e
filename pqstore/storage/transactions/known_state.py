"""A state that was read, for compiled code to read again without the way to it, as long as it is the newest."""

from __future__ import annotations

from typing import NewType

from pqstore.native import native_loops
from pqstore.storage.transactions.reference import Reference
from pqstore.storage.transactions.snapshot import Snapshot

__all__ = ["KnownState", "known_state"]

KnownState = NewType("KnownState", object)
"""Of compiled code: `native/bindings/known_state.h`."""


def known_state(reference: Reference, snapshot: Snapshot) -> KnownState | None:
    """That of a snapshot of a handle; None: compiled code cannot, or there is a newer generation to look for.

    It is no snapshot: each reading of it begins a transaction of LMDB, and goes no further where that is of another
    commit, or where the handle is closed or anybody waits for transactions to end.
    """
    native, records = native_loops(), snapshot.records
    # Rows that end do so without a commit: such a state is read on the way that asks for the time.
    if native is None or records.state.superseded or records.state.expiry is not None:
        return None
    generation, number = records.generation, records.cached.transaction
    begin = generation.environment.begin_plain
    known: KnownState = native.KnownState(reference, reference.shared(), generation, begin, number)
    return known
