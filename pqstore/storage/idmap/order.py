"""The order in which keys ascend."""

from __future__ import annotations

import numpy as np

from pqstore.arrays import I64, U64

__all__ = ["ascending"]


_MANY = 4096  # fewer are sorted before the numbers are made


def ascending(keys: U64) -> I64:
    """Positions, int64 (n,), in which `keys` ascend; equal keys stay as they come.

    Sorting numbers is several times as quick as sorting positions by their numbers. So each position is put into the
    low bits of a number below as many of its key's leading bits as there is room for: all, unless the keys span more
    than 2^64 / n. Then a few may still be in the wrong order, and a sort of what is nearly sorted is quick.
    """
    if len(keys) < _MANY:
        return np.argsort(keys, kind="stable")
    if np.all(keys[1:] >= keys[:-1]):
        return np.arange(len(keys))
    low = keys.min()
    position_bits = (len(keys) - 1).bit_length()
    cut = max(0, int(keys.max() - low).bit_length() + position_bits - 64)
    numbers = keys - low
    numbers >>= np.uint64(cut)
    numbers <<= np.uint64(position_bits)
    numbers |= np.arange(len(keys), dtype=np.uint64)
    numbers.sort()
    numbers &= np.uint64((1 << position_bits) - 1)
    order = numbers.view(np.int64)
    if cut:
        ordered = keys[order]
        if np.any(ordered[1:] < ordered[:-1]):
            order = order[np.argsort(ordered, kind="stable")]
    return order
