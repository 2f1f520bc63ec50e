"""Records that were written before the commit that would have made them part of the index, when it never came."""

from __future__ import annotations

from pqstore.storage.disk.environment import Environment
from pqstore.storage.disk.numbered_state import put_state
from pqstore.storage.format import records
from pqstore.storage.format.staged import unpack_staged
from pqstore.storage.format.state import Identity, State
from pqstore.storage.rows.geometry import Geometry

__all__ = ["clear_staged"]


def clear_staged(environment: Environment) -> None:
    """Remove what an unfinished transaction has left. Needs the writer lock."""
    databases = environment.databases
    with environment.begin(write=True) as txn:
        value = txn.get(records.STAGED_KEY, db=databases["meta"])
        if value is None:
            return
        segments, runs = unpack_staged(value)
        for segment in segments:
            for name in ("codes", "rowids"):
                txn.delete(records.key1(segment), db=databases[name])
            with txn.cursor(db=databases["fields"]) as cursor:
                while cursor.set_range(records.key2(segment, 0)) and bytes(cursor.key())[:8] == records.key1(segment):
                    cursor.delete()
        for run in runs:
            with txn.cursor(db=databases["runchunks"]) as cursor:
                while cursor.set_range(records.key2(run, 0)) and bytes(cursor.key())[:8] == records.key1(run):
                    cursor.delete()
            txn.delete(records.key1(run), db=databases["runs"])
        # Payloads are staged with their rows: none of a row that is stored lies beyond the last row.
        state = State.unpack(txn.get(records.STATE_KEY, db=databases["meta"]))
        identity = Identity.unpack(txn.get(records.IDENTITY_KEY, db=databases["meta"]))
        next_row = Geometry.of(identity).next_row(state)
        with txn.cursor(db=databases["payloads"]) as cursor:
            while cursor.set_range(records.key1(next_row)):
                cursor.delete()
        txn.delete(records.STAGED_KEY, db=databases["meta"])
        put_state(txn, databases["meta"], state)
