"""What a transaction has written ahead of its commit, by number: removed again when the commit never comes."""

from __future__ import annotations

from collections.abc import Sequence

import msgpack

from pqstore.errors import CorruptIndexError
from pqstore.storage.format import records

__all__ = ["pack_staged", "unpack_staged"]


def pack_staged(segments: Sequence[int], runs: Sequence[int]) -> bytes:
    """Segments from the first number up to, not including, the second, and runs."""
    return records.pack_record(records.STAGED, 0, 0, 0, [msgpack.packb([list(segments), list(runs)])])


def unpack_staged(value: memoryview) -> tuple[range, list[int]]:
    """(segments, runs)."""
    content = msgpack.unpackb(records.open_record(value, records.STAGED).payload)
    try:
        (first, stop), runs = content
        return range(first, stop), [int(run) for run in runs]
    except (TypeError, ValueError) as error:
        raise CorruptIndexError(f"staged: cannot be read ({error})") from error
