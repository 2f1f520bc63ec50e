"""The order of keys is that of a stable sort, whatever the keys are."""

from __future__ import annotations

import numpy as np
import pytest

from pqstore.arrays import U64
from pqstore.storage.idmap.order import ascending

N = 5000


def any_of_64_bits(rng: np.random.Generator) -> U64:
    return rng.integers(0, 2**64 - 1, N, dtype=np.uint64, endpoint=True)


def few(rng: np.random.Generator) -> U64:
    return rng.integers(0, 40, N).astype(np.uint64)


def with_the_same_leading_bits(rng: np.random.Generator) -> U64:
    """Far apart in groups, and near within: the low bits decide."""
    return (rng.integers(0, 1000, N).astype(np.uint64) << np.uint64(54)) + rng.integers(0, 60, N).astype(np.uint64)


def with_the_ends(rng: np.random.Generator) -> U64:
    ends = np.array([0, 2**64 - 1, 2**63, 2**63 - 1, 0, 2**64 - 1, 1], dtype=np.uint64)
    return rng.permutation(np.resize(ends, N))


def not_many(rng: np.random.Generator) -> U64:
    return few(rng)[: int(rng.integers(2, 1000))]


def ascending_already(rng: np.random.Generator) -> U64:
    return np.sort(few(rng))


def none_or_one(rng: np.random.Generator) -> U64:
    return any_of_64_bits(rng)[: int(rng.integers(0, 2))]


@pytest.mark.parametrize(
    "keys", [any_of_64_bits, few, with_the_same_leading_bits, with_the_ends, ascending_already, not_many, none_or_one]
)
def test_ascending(keys: object) -> None:
    assert callable(keys)
    for seed in range(10):
        given = keys(np.random.default_rng(seed))
        before = given.copy()
        order = ascending(given)
        assert order.dtype == np.int64
        np.testing.assert_array_equal(order, np.argsort(given, kind="stable"))
        np.testing.assert_array_equal(given, before)
