"""Ids that cannot be meant are refused, whole batches at a time."""

from __future__ import annotations

import numpy as np
import pytest

import pqstore
from tests.unit.index.contents import GOOD


@pytest.mark.parametrize(
    ("ids", "error"),
    [
        ([1, 2], pqstore.DimensionError),
        ([1, 2, 3, 4, 5, 6], pqstore.DimensionError),
        (np.ones((5, 1), dtype=np.int64), pqstore.DimensionError),
        ([1, 2, 3, 4, 1], pqstore.DuplicateIdError),
        ([1, 2, 3, 4, 14], pqstore.DuplicateIdError),
        ([1, 2, 3, 4, 2**63], pqstore.InvalidIdError),
        ([1, 2, 3, 4, -(2**63) - 1], pqstore.InvalidIdError),
        (np.array([1, 2, 3, 4, 2**63], dtype=np.uint64), pqstore.InvalidIdError),
        (["1", "2", "3", "4", "5"], pqstore.InvalidIdError),
        ([1, 2, 3, 4, "5"], pqstore.InvalidIdError),
        ([1, 2, 3, 4, 5.0], pqstore.InvalidIdError),
        ([1, 2, 3, 4, True], pqstore.InvalidIdError),
        ([1, 2, 3, 4, None], pqstore.InvalidIdError),
        (np.arange(5.0), pqstore.InvalidIdError),
        ("12345", pqstore.InvalidIdError),
        (7.5, pqstore.InvalidIdError),
    ],
)
def test_int64_ids_that_cannot_be_meant(index: pqstore.Index, ids, error) -> None:
    with pytest.raises(error):
        index.add(GOOD, ids=ids)
    with pytest.raises(error):
        index.add(iter([GOOD]), ids=ids)


def test_the_ends_of_int64_are_ids(index: pqstore.Index) -> None:
    ends = [2**63 - 1, -(2**63), np.int32(5), np.uint8(6)]
    index.add(GOOD[:4], ids=ends)
    assert 2**63 - 1 in index
    with pytest.raises(pqstore.InvalidIdError, match="automatic"):
        index.add(GOOD[:1])
    index.remove(ends)


@pytest.mark.parametrize("ids", [[""], ["x" * 10_000], ["é" * 2100], [5], [b"a"], [None], ["\ud800"], np.array([1])])
def test_str_ids_that_cannot_be_meant(named: pqstore.Index, ids) -> None:
    with pytest.raises(pqstore.InvalidIdError):
        named.add(GOOD[:1], ids=ids)
    with pytest.raises(pqstore.InvalidIdError):
        named.remove(ids)


def test_ids_twice_in_a_batch_of_names(named: pqstore.Index) -> None:
    for policy in ("error", "skip", "replace"):
        with pytest.raises(pqstore.DuplicateIdError, match="positions 0 and 2"):
            named.add(GOOD[:3], ids=["b", "c", "b"], on_conflict=policy)


def test_unknown_ids(index: pqstore.Index) -> None:
    with pytest.raises(pqstore.UnknownIdError, match="2 of 3 ids are not in the index: 99, 98"):
        index.remove([99, 10, 98])
    with pytest.raises(KeyError):
        index.reconstruct(99)
    with pytest.raises(pqstore.UnknownIdError):
        index.codes([10, 99])
    assert index.remove([99, 98], missing="ignore") == 0
