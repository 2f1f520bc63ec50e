"""Rendezvous hashing: the same for ever, even, and a shard more moves only what goes to it."""

from __future__ import annotations

import hashlib

import numpy as np

from pqstore.shards.routing import homes_of


def test_it_is_what_the_page_on_the_format_says() -> None:
    """Where ids belong is stored: another answer would be another format."""

    def mix(value: int) -> int:
        value = (value + 0x9E3779B97F4A7C15) % 2**64
        value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9 % 2**64
        value = (value ^ value >> 27) * 0x94D049BB133111EB % 2**64
        return value ^ value >> 31

    numbers = [0, 1, 2, 5, 7]
    ids = np.array([0, 1, -1, 17, 2**63 - 1, -(2**63), 123_456_789], dtype=np.int64)
    expected = [max(numbers, key=lambda n, id=id: mix(mix(id % 2**64) ^ mix(n))) for id in ids.tolist()]
    assert homes_of(ids, numbers).tolist() == expected
    names = ["a", "ä", "x" * 4096, "17"]
    keys = [int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little") for name in names]
    expected = [max(numbers, key=lambda n, key=key: mix(key ^ mix(n))) for key in keys]
    assert homes_of(np.array(names, dtype=object), numbers).tolist() == expected == [2, 7, 2, expected[3]]


def test_shares_are_even_and_a_shard_more_takes_its_own() -> None:
    ids = np.arange(100_000)
    before, after = homes_of(ids, range(8)), homes_of(ids, range(9))
    assert np.abs(np.bincount(before) / 12_500 - 1).max() < 0.05
    moved = before != after
    assert (after[moved] == 8).all()
    assert abs(moved.mean() * 9 - 1) < 0.05
    assert np.array_equal(homes_of(ids, [3, 1, 2]), homes_of(ids, [1, 2, 3]))
    assert homes_of(ids[:0], range(3)).tolist() == []
