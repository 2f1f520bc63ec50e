"""What a transaction has written ahead of its commit, by number: removed again when the commit never comes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgpack

from pqstore.errors import CorruptIndexError
from pqstore.storage.format import records
from pqstore.storage.format.fields import list_of, row, unpack, whole
from pqstore.storage.format.state import State

__all__ = ["check_staged", "pack_staged", "unpack_staged"]


def pack_staged(segments: Sequence[int], runs: Sequence[int]) -> bytes:
    """Segments from the first number up to, not including, the second, and runs."""
    return records.pack_record(records.STAGED, 0, 0, 0, [msgpack.packb([list(segments), list(runs)])])


def unpack_staged(value: memoryview) -> tuple[range, tuple[int, ...]]:
    """(segments, runs); see `check_staged`."""
    (first, stop), runs = unpack(records.open_record(value, records.STAGED).payload, "staged", _STAGED)
    return range(first, stop), runs


def check_staged(segments: range, runs: Sequence[int], state: State) -> None:
    """Raise `CorruptIndexError` where what is named belongs to the index, and so must not be removed."""
    if segments.start < state.open_segment or any(run < state.next_run for run in runs):
        raise CorruptIndexError(
            f"staged: names segments from {segments.start} on and runs {list(runs)[:3]}, "
            f"but the index has those below {state.open_segment} and {state.next_run}"
        )


_NUMBER: Final = whole(0, 2**62)
_STAGED: Final = row(row(_NUMBER, _NUMBER), list_of(_NUMBER))
