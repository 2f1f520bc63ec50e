"""What is read of one state."""

from __future__ import annotations

import numpy as np
import pytest

import pqstore
from tests.unit.index.contents import N, payload, vectors


def test_scroll(filled) -> None:
    seen, after = [], None
    while True:
        page = filled.scroll({"word": "odd"}, limit=70, after=after, include=("payload", "vector"))
        seen += page.records
        after = page.after
        if after is None:
            break
    assert [record.id for record in seen] == [n for n in range(N) if payload(n) and n % 2]
    assert all(record.payload == payload(record.id) for record in seen)
    np.testing.assert_array_equal(seen[3].vector, vectors()[seen[3].id])


def test_snapshot_stays_as_it_is(sift_index: pqstore.Index, base, queries) -> None:
    before = sift_index.search(queries, k=5)
    with sift_index.snapshot() as view:
        sift_index.remove(np.unique(before.ids))
        sift_index.add(base[:100] + 1)
        np.testing.assert_array_equal(view.search(queries, k=5).ids, before.ids)
        assert len(view) == 10_000
        assert before.ids[0, 0] in view
        assert not np.isin(sift_index.search(queries, k=5).ids, before.ids).any()
    with pytest.raises(pqstore.IndexClosedError):
        view.search(queries)


def test_iter_codes_gives_everything(sift_index: pqstore.Index, sift_pq: pqstore.PQ, base) -> None:
    sift_index.remove(np.arange(0, 10_000, 3))
    blocks = list(sift_index.iter_codes(block_rows=1000))
    ids = np.concatenate([ids for ids, _ in blocks])
    np.testing.assert_array_equal(ids, np.setdiff1d(np.arange(10_000), np.arange(0, 10_000, 3)))
    np.testing.assert_array_equal(np.concatenate([codes for _, codes in blocks]), sift_pq.encode(base[ids]))
