"""The compiled module of the storage checks what it is given: nothing makes it read outside an array."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pqstore.native import native_loops

pytestmark = pytest.mark.skipif(native_loops() is None, reason="no compiled module here")

NONE = np.iinfo(np.int64).min


@pytest.fixture
def native() -> Any:
    return native_loops()


def taken(native: Any, sealed: Any, tail: Any, rows: list[int]) -> list[int] | None:
    """Ids by segments of 8 rows, of which number 2 is the tail with chunks of 4."""
    ids = np.full(len(rows), NONE)
    return ids.tolist() if native.take_ids(sealed, 8, tail, 4, 2, np.array(rows, dtype=np.int64), ids) else None


def test_ids_of_rows_by_segment_and_chunk(native: Any) -> None:
    sealed, tail = native.IdParts(), native.IdParts()
    sealed[0] = np.arange(100, 108)
    sealed[1] = 200  # consecutive from there
    tail[4] = np.frombuffer(np.arange(300, 304).tobytes(), dtype=np.int64)  # rows 16 to 19, read-only
    tail[5] = np.array([-5, -6])  # rows 20 and 21
    assert taken(native, sealed, tail, [21, 0, 15, -1, 7, 16, 20]) == [-6, 100, 207, -1, 107, 300, -5]
    assert taken(native, sealed, tail, []) == []
    assert taken(native, sealed, tail, [22]) is None  # beyond the ids of its chunk
    assert taken(native, sealed, tail, [24]) is None  # no such segment
    sealed[0] = np.empty(0, dtype=np.int64)
    assert taken(native, sealed, tail, [0]) is None
    del sealed[0]
    assert sorted(sealed) == [1]
    assert sorted(tail) == [4, 5]
    assert taken(native, sealed, tail, [0]) is None


def test_ids_at_any_address(native: Any) -> None:
    parts = native.IdParts()
    parts[0] = np.frombuffer(b"." + np.arange(100, 108).tobytes(), dtype=np.uint8)[1:].view(np.int64)
    assert taken(native, parts, native.IdParts(), [3, 7]) == [103, 107]


def test_parts_of_the_wrong_kind_are_refused(native: Any) -> None:
    parts = native.IdParts()
    for wrong in (np.arange(8.0), np.arange(8, dtype=np.int32), np.arange(16)[::2], np.zeros((2, 4), np.int64), "ids"):
        with pytest.raises((TypeError, RuntimeError)):
            parts[0] = wrong
    with pytest.raises((TypeError, RuntimeError, OverflowError)):
        parts[0] = 2**63
    assert list(parts) == []
    with pytest.raises(KeyError):
        del parts[0]
    with pytest.raises(ValueError, match="one place for each row"):
        native.take_ids(parts, 8, parts, 4, 2, np.zeros(2, np.int64), np.zeros(3, np.int64))
    with pytest.raises(ValueError, match="parts have rows"):
        native.take_ids(parts, 0, parts, 4, 2, np.zeros(2, np.int64), np.zeros(2, np.int64))


def test_heads_of_pages(native: Any, tmp_path: Path) -> None:
    path = tmp_path / "pages"
    content = np.arange(3 * 512, dtype=np.int64).astype(np.uint8)
    path.write_bytes(content[:-490].tobytes())  # of the last page 22 bytes are there
    with path.open("rb") as file:
        heads = np.zeros((3, 16), dtype=np.uint8)
        assert native.page_heads(file.fileno(), np.array([2, 0, 1]), 512, heads)
        assert heads.tolist() == [content[at * 512 :][:16].tolist() for at in (2, 0, 1)]
        for beyond in (3, -1, 2**62, -(2**63)):
            assert not native.page_heads(file.fileno(), np.array([0, beyond]), 512, heads[:2])
        with pytest.raises(ValueError, match="16 bytes"):
            native.page_heads(file.fileno(), np.array([0]), 512, heads)
