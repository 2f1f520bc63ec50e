"""Ids that are given twice, in files of any size: found in bounded memory, in as many passes as it takes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from pqstore.arrays import U64
from pqstore.errors import DuplicateIdError

__all__ = ["refuse_repeated"]

_MOST_KEYS = 32 << 20  # numbers that a pass holds: 256 MiB


def refuse_repeated(blocks: Callable[[], Iterator[Any]], where: str, most_keys: int = _MOST_KEYS) -> None:
    """Find an id that is given twice.

    Args:
        blocks: Begins to read the ids: integer arrays, or lists of str.
        most_keys: How many ids a pass may hold.

    Raises:
        DuplicateIdError: names one.
    """
    total = sum(len(block) for block in blocks())
    passes = max(1, -(-total // most_keys))
    for number in range(passes):
        parts = [keys[keys % passes == number] if passes > 1 else keys for keys in map(_keys, blocks())]
        ordered = np.sort(np.concatenate(parts)) if parts else np.empty(0, dtype=np.uint64)
        suspects = set(ordered[1:][ordered[1:] == ordered[:-1]].tolist())
        if suspects:
            _refuse_same(blocks(), suspects, where)


def _keys(block: Any) -> U64:
    """A number for each id that spreads evenly: of an integer, one to one."""
    if isinstance(block, list):
        hashes = b"".join(
            hashlib.blake2b(name.encode(errors="surrogatepass"), digest_size=8).digest() for name in block
        )
        return np.frombuffer(hashes, dtype="<u8")
    mixed: U64 = np.asarray(block).astype(np.int64).view(np.uint64)
    mixed = (mixed ^ (mixed >> np.uint64(32))) * np.uint64(0x9E3779B97F4A7C15)
    return mixed ^ (mixed >> np.uint64(29))


def _refuse_same(blocks: Iterator[Any], suspects: set[int], where: str) -> None:
    """Different strings may have the same number; the same id twice is refused."""
    seen: dict[Any, int] = {}
    row = 0
    for block in blocks:
        for value, key in zip(block if isinstance(block, list) else block.tolist(), _keys(block).tolist(), strict=True):
            if key in suspects:
                if value in seen:
                    raise DuplicateIdError(
                        f"id {value!r} is given twice, in rows {seen[value]} and {row} of {where}: "
                        "name another column with id_column, or none"
                    )
                seen[value] = row
            row += 1
