"""The state names the transaction of LMDB that wrote it: an older one in the place of the newest is noticed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from pqstore.errors import CorruptIndexError
from pqstore.storage.disk.address_space import opened_briefly
from pqstore.storage.format.records import IDENTITY_KEY, NUMBERED_STATES, STATE_KEY
from pqstore.storage.format.state import Identity, State

__all__ = ["check_number", "number_copy", "put_state"]


def put_state(txn: Any, meta: Any, state: State) -> State:
    """Store the state with the number of its transaction; every transaction that changes the file must do so.

    Gives the state as stored. `meta` is the database of that name.
    """
    if state.transaction is None:
        _declare(txn, meta)
    state = state._replace(transaction=int(txn.id()))
    txn.put(STATE_KEY, state.pack(), db=meta)
    return state


def _declare(txn: Any, meta: Any) -> None:
    """An earlier pqstore would keep no number, so it is told to leave the index alone."""
    identity = Identity.unpack(txn.get(IDENTITY_KEY, db=meta))
    if NUMBERED_STATES not in identity.features:
        txn.put(IDENTITY_KEY, replace(identity, features=(*identity.features, NUMBERED_STATES)).pack(), db=meta)


def check_number(state: State, transaction: int, generation: Path) -> None:
    """Raise `CorruptIndexError` unless the state was written by this transaction."""
    if state.transaction not in (None, transaction):
        raise CorruptIndexError(
            f"{generation} is damaged: its newest transaction is {transaction}, but holds the state of "
            f"{state.transaction}; `repair` salvages what is sound"
        )


def number_copy(generation: Path) -> None:
    """LMDB counts the transactions of a copy anew: so does the state. For a copy that nobody else has opened."""
    with opened_briefly(generation, sync=False) as copied:
        meta = copied.open_db(b"meta", create=False)
        for _ in range(2):  # one for each meta page
            with copied.begin(write=True, buffers=True) as txn:
                put_state(txn, meta, State.unpack(txn.get(STATE_KEY, db=meta)))
