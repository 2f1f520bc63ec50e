"""A snapshot stays as it was."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from pqstore.errors import (
    IndexClosedError,
)
from pqstore.storage import Store

Create = Callable[..., Store]


CODES = np.arange(80, dtype=np.uint8).reshape(10, 8)


def test_a_snapshot_stays_as_it_was(create: Create) -> None:
    store = create()
    with store.write() as txn:
        txn.append(CODES, np.arange(10))
    with store.read() as before:
        chunks = before.chunks()
        with store.write() as txn:
            txn.kill(txn.rows_of([3]))
            txn.append(np.full((2000, 8), 9, dtype=np.uint8), np.arange(100, 2100))
        assert before.live_rows == 10
        assert before.rows_of([3, 100]).tolist() == [3, -1]
        assert np.array_equal(before.codes_of(np.arange(10)), CODES)
        assert np.array_equal(chunks[0].packed[:80].reshape(10, 8), CODES)
        assert before.chunks()[0].dead is None
        with store.read() as after:
            assert after.live_rows == 2009
            assert after.rows_of([3, 100]).tolist() == [-1, 10]
    assert before.closed
    with pytest.raises(IndexClosedError):
        before.chunks()
    store.close()
