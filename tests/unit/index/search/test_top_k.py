"""The k nearest: queries that lie in memory as they like."""

from __future__ import annotations

import numpy as np
import pytest

from tests.unit.index.contents import vectors


@pytest.mark.parametrize("rerank", [None, 50])
def test_queries_that_do_not_lie_in_one_piece(filled, rerank) -> None:
    queries = vectors()[:6]
    expected = filled.search(queries, k=5, rerank=rerank)
    for scattered in (np.asfortranarray(queries), np.repeat(queries, 2, axis=1)[:, ::2], queries[::-1][::-1]):
        found = filled.search(scattered, k=5, rerank=rerank)
        np.testing.assert_array_equal(found.ids, expected.ids)
        np.testing.assert_array_equal(found.distances, expected.distances)
        one = filled.search(scattered[3], k=5, rerank=rerank)
        np.testing.assert_array_equal(one.ids, expected.ids[3])
