"""Records that were written before the commit that would have made them part of the index, when it never came."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgpack

from pqstore.errors import CorruptIndexError
from pqstore.storage import layout
from pqstore.storage.state import Identity, State

if TYPE_CHECKING:
    from pqstore.storage.environment import Environment

__all__ = ["clear_staged", "pack_staged", "unpack_staged"]


def pack_staged(segments: Sequence[int], runs: Sequence[int]) -> bytes:
    """Segments from the first number up to, not including, the second, and runs."""
    return layout.pack_record(layout.STAGED, 0, 0, 0, [msgpack.packb([list(segments), list(runs)])])


def unpack_staged(value: memoryview) -> tuple[range, list[int]]:
    """(segments, runs)."""
    content = msgpack.unpackb(layout.open_record(value, layout.STAGED).payload)
    try:
        (first, stop), runs = content
        return range(first, stop), [int(run) for run in runs]
    except (TypeError, ValueError) as error:
        raise CorruptIndexError(f"staged: cannot be read ({error})") from error


def clear_staged(environment: Environment) -> None:
    """Remove what an unfinished transaction has left. Needs the writer lock."""
    databases = environment.databases
    with environment.begin(write=True) as txn:
        value = txn.get(layout.STAGED_KEY, db=databases["meta"])
        if value is None:
            return
        segments, runs = unpack_staged(value)
        for segment in segments:
            for name in ("codes", "rowids"):
                txn.delete(layout.key1(segment), db=databases[name])
            with txn.cursor(db=databases["fields"]) as cursor:
                while cursor.set_range(layout.key2(segment, 0)) and bytes(cursor.key())[:8] == layout.key1(segment):
                    cursor.delete()
        for run in runs:
            with txn.cursor(db=databases["runchunks"]) as cursor:
                while cursor.set_range(layout.key2(run, 0)) and bytes(cursor.key())[:8] == layout.key1(run):
                    cursor.delete()
            txn.delete(layout.key1(run), db=databases["runs"])
        # Payloads are staged with their rows: none of a row that is stored lies beyond the last row.
        state = State.unpack(txn.get(layout.STATE_KEY, db=databases["meta"]))
        identity = Identity.unpack(txn.get(layout.IDENTITY_KEY, db=databases["meta"]))
        next_row = state.open_segment * identity.segment_rows + state.tail_rows
        with txn.cursor(db=databases["payloads"]) as cursor:
            while cursor.set_range(layout.key1(next_row)):
                cursor.delete()
        txn.delete(layout.STAGED_KEY, db=databases["meta"])
