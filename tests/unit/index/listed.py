"""Indexes whose segments and runs are small, so that lists change often; and searches of all lists."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import numpy as np

import pqstore
from pqstore.index.lists.prepared import prepared_lists
from pqstore.index.reading import Reading
from pqstore.index.search.nearest import nearest_rows
from pqstore.index.search.probe import Probe
from pqstore.index.selection.selection import Selection
from pqstore.storage.limits import STANDARD

ALL = 1 << 62
SMALL = {
    "list_smallest_tier": 128,
    "list_run_rows": 256,
    "list_slice": 48,
    "list_step": 64,
    "list_at_once": 100,
}


@contextmanager
def small_segments(rows: int = 128) -> Iterator[None]:
    """Indexes that are made within have segments of so many rows, and their lists are merged often. Codes of a segment
    must take a page of LMDB, 4,096 bytes, at least."""
    usual = {name: getattr(STANDARD, name) for name in SMALL}
    for name, value in SMALL.items():
        object.__setattr__(STANDARD, name, value)
    try:
        with patch("pqstore.storage.store.segment_rows_for", lambda packing: rows):
            yield
    finally:
        for name, value in usual.items():
            object.__setattr__(STANDARD, name, value)


def search_all_lists(reading: Reading, queries: np.ndarray, k: int, selection: Selection | None = None) -> Any:
    """What a search of all lists and of what is in none finds, past the rule that takes a flat scan for it:
    (distances, rows), or None where there are no lists."""
    prepared = prepared_lists(reading, selection)
    if prepared is None:
        return None
    return nearest_rows(reading, queries, k, 2, selection, Probe(prepared, ALL, ALL, 0))


def assert_all_lists_are_flat(index: pqstore.Index | Any, queries: np.ndarray, k: int) -> bool:
    """Ids and bits of distances; whether there were lists."""
    with index._read() as reading:
        found = search_all_lists(reading, queries, k)
        if found is None:
            return False
        distances, rows = nearest_rows(reading, queries, k, 1, None)
        np.testing.assert_array_equal(found[0].view(np.uint32), distances.view(np.uint32))
        np.testing.assert_array_equal(found[1], rows)
        return True
