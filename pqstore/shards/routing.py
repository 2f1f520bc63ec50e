"""Where an id belongs among shards: rendezvous hashing. A shard more takes its share from all others, and no id moves
between those."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from pqstore.arrays import I64, U64
from pqstore.index.arguments.ids import IdArray

__all__ = ["homes_of"]

_STEP = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


def homes_of(ids: IdArray, shards: Sequence[int]) -> I64:
    """The shard of each id: int64 (n,), members of `shards`, which are numbers of shards, each once, in any order.

    Of all shards it is the one whose number and the id have the largest hash together, the lowest number of equals.
    """
    keys = _keys(ids)
    best = np.zeros(len(keys), dtype=np.uint64)
    home = np.full(len(keys), min(shards), dtype=np.int64)
    for number in sorted(shards):
        weight = _mixed(keys ^ _mixed(np.full(1, number, dtype=np.uint64)))
        heavier = weight > best
        best[heavier], home[heavier] = weight[heavier], number
    return home


def _keys(ids: IdArray) -> U64:
    if ids.dtype == np.int64:
        return _mixed(ids.view(np.uint64))
    hashes = b"".join(hashlib.blake2b(name.encode(), digest_size=8).digest() for name in ids.tolist())
    return np.frombuffer(hashes, dtype="<u8").astype(np.uint64)


def _mixed(values: U64) -> U64:
    """The finalizer of SplitMix64: every bit of a number decides about every bit of the result."""
    mixed = values + _STEP
    mixed = (mixed ^ (mixed >> np.uint64(30))) * _FIRST
    mixed = (mixed ^ (mixed >> np.uint64(27))) * _SECOND
    return mixed ^ (mixed >> np.uint64(31))
