"""Records that were written before the commit that would have made them part of the index, when it never came."""

from __future__ import annotations

from typing import Any, Final

from pqstore.storage.disk.environment import Environment
from pqstore.storage.disk.numbered_state import put_state
from pqstore.storage.format import records
from pqstore.storage.format.staged import check_staged, unpack_staged
from pqstore.storage.format.state import Identity, State
from pqstore.storage.rows.geometry import Geometry

__all__ = ["clear_staged"]

_END: Final = b"\xff" * 16  # no key of ours is larger


def clear_staged(environment: Environment) -> None:
    """Remove what an unfinished transaction has left. Needs the writer lock."""
    databases = environment.databases
    with environment.begin(write=True) as txn:
        value = txn.get(records.STAGED_KEY, db=databases["meta"])
        if value is None:
            return
        segments, runs = unpack_staged(value)
        state = State.unpack(txn.get(records.STATE_KEY, db=databases["meta"]))
        identity = Identity.unpack(txn.get(records.IDENTITY_KEY, db=databases["meta"]))
        check_staged(segments, runs, state)
        for name in ("codes", "rowids", "fields"):
            _delete(txn, databases[name], records.key1(segments.start), records.key1(segments.stop))
        for run in runs:
            for name in ("runchunks", "runs"):
                _delete(txn, databases[name], records.key1(run), records.key1(run + 1))
        # Payloads are staged with their rows: none of a row that is stored lies beyond the last row.
        next_row = Geometry.of(identity).next_row(state)
        _delete(txn, databases["payloads"], records.key1(next_row), _END)
        txn.delete(records.STAGED_KEY, db=databases["meta"])
        put_state(txn, databases["meta"], state)


def _delete(txn: Any, database: Any, start: bytes, stop: bytes) -> None:
    """Delete what is stored under keys from `start` up to `stop`, however many numbers lie between them."""
    with txn.cursor(db=database) as cursor:
        while cursor.set_range(start) and bytes(cursor.key()) < stop:
            cursor.delete()
