"""Things that wait on the side come back in order, from memory or from a file that has no name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pqstore.storage.disk.spool import Spool


@pytest.mark.parametrize("in_memory", [1 << 20, 1000])
def test_everything_comes_back_in_order(tmp_path: Path, in_memory: int) -> None:
    with Spool(tmp_path, in_memory) as spool:
        for number in range(20):
            spool.put((number, np.full(100, number), {"n": number}))
        assert [path for path in tmp_path.iterdir() if path.stat().st_size > 20_000] == []
        for number, (first, array, payload) in enumerate(spool):
            assert (first, payload) == (number, {"n": number})
            np.testing.assert_array_equal(array, np.full(100, number))
        assert number == 19
    assert list(tmp_path.iterdir()) == []
