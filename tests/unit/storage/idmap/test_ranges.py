"""Automatic ids take no room."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from pqstore.storage import Store
from pqstore.storage.format.state import Range
from pqstore.storage.idmap.ranges import ascend, trimmed
from pqstore.storage.rows.geometry import Geometry


def test_automatic_ids_are_one_range(create: Callable[..., Store], rng: np.random.Generator) -> None:
    store = create()
    total = 0
    for count in (1, 1022, 1, 5000, 3):
        codes = rng.integers(0, 256, (count, 8), dtype=np.uint8)
        with store.write() as txn:
            rows, ids = txn.append(codes)
        assert rows.tolist() == ids.tolist() == list(range(total, total + count))
        total += count
    stats = store.stats()
    assert (stats.id_ranges, stats.id_runs) == (1, 0)
    with store.read() as snapshot:
        ids = rng.permutation(total)
        assert np.array_equal(snapshot.rows_of(ids), ids)
        assert np.array_equal(snapshot.ids_of(ids), ids)
    with store.write() as txn:
        txn.append(codes[:1], np.array([2**40]))
        assert txn.next_id == 2**40 + 1
    store.close()


@pytest.mark.parametrize(
    ("ranges", "spans", "do"),
    [
        ([], [], True),
        ([], [(0, 4)], False),
        ([Range(10, 0, 4)], [(0, 4)], True),
        ([Range(10, 0, 4)], [(0, 4), (4, 8)], False),
        ([Range(10, 0, 4), Range(20, 4, 4)], [(0, 4), (4, 8)], True),
        ([Range(20, 4, 4), Range(10, 0, 4)], [(0, 4), (4, 8)], True),
        ([Range(10, 0, 4), Range(13, 4, 4)], [(0, 4), (4, 8)], False),
        ([Range(20, 0, 4), Range(10, 4, 4)], [(0, 4), (4, 8)], False),
        ([Range(10, 0, 4), Range(20, 8, 4)], [(0, 4), (4, 8), (8, 12)], False),
        ([Range(10, 0, 12)], [(0, 4), (8, 12)], True),
    ],
)
def test_ids_ascend_with_rows(ranges: list[Range], spans: list[tuple[int, int]], do: bool) -> None:
    assert ascend(ranges, spans) is do


def test_ranges_are_trimmed_to_the_segments_that_exist() -> None:
    """It was counted through every segment that is gone, however many there were."""
    geometry = Geometry(64, 32)
    ranges = (Range(1000, 0, 2**50), Range(7, 130, 60), Range(9, 64, 64))
    assert trimmed(ranges, geometry, [2, 5, 9]) == (Range(1128, 128, 512), Range(7, 130, 60))
    assert trimmed(ranges, geometry, []) == ()
