"""Bits of dead rows, against a set of their positions."""

from __future__ import annotations

import numpy as np
import pytest

from pqstore.storage.rows.tombstones import are_set, count_set, with_bits


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 60, 256])
def test_bits_are_added_to_a_copy_however_many(count: int, rng: np.random.Generator) -> None:
    before = rng.integers(0, 256, 32, dtype=np.uint8)
    kept = before.copy()
    positions = np.sort(rng.choice(256, count, replace=False))
    dead = set(np.flatnonzero(are_set(before, np.arange(256))).tolist())
    after, added = with_bits(before, positions)
    wanted = dead | set(positions.tolist())
    assert set(np.flatnonzero(are_set(after, np.arange(256))).tolist()) == wanted
    assert added == len(wanted) - len(dead) == count_set(after) - count_set(before)
    assert before.tolist() == kept.tolist()
    assert not np.may_share_memory(before, after)
