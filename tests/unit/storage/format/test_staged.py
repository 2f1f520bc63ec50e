"""What a dead writer staged, and what may not be taken for it."""

from __future__ import annotations

import msgpack
import pytest

from pqstore.errors import CorruptIndexError
from pqstore.storage.format import records
from pqstore.storage.format.staged import check_staged, pack_staged, unpack_staged
from pqstore.storage.format.state import State


def test_round_trip() -> None:
    assert unpack_staged(memoryview(pack_staged([3, 7], [4, 9]))) == (range(3, 7), (4, 9))


@pytest.mark.parametrize("content", [1, [], [[1, 2]], [[1], [2]], [[0, 2**63], []], [[-1, 3], []], [[0, 1], [None]]])
def test_what_cannot_be(content: object) -> None:
    record = records.pack_record(records.STAGED, 0, 0, 0, [msgpack.packb(content)])
    with pytest.raises(CorruptIndexError, match=r"^staged: "):
        unpack_staged(memoryview(record))


@pytest.mark.parametrize(("segments", "runs"), [(range(2**62), ()), (range(2, 5), ()), (range(3, 5), (6, 7))])
def test_nothing_of_the_index_is_staged(segments: range, runs: tuple[int, ...]) -> None:
    """A record that named stored segments had them deleted by the next writer."""
    with pytest.raises(CorruptIndexError, match=r"^staged: names"):
        check_staged(segments, runs, State(open_segment=3, next_run=7))
    check_staged(range(3, 2**62), (7, 2**40), State(open_segment=3, next_run=7))
