"""Ids that are given twice, however many there are: found in bounded memory, in as many passes as it takes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from pqstore.arrays import U64
from pqstore.errors import DuplicateIdError

__all__ = ["Repeated", "refuse_repeated", "repeated"]

_MOST_KEYS = 32 << 20  # numbers that a pass holds: 256 MiB


class Repeated(NamedTuple):
    """An id that is given twice, and the numbers of the blocks, from 0, in which it is."""

    id: Any
    first: int
    second: int


def refuse_repeated(blocks: Callable[[], Iterator[Any]], where: str) -> None:
    """Refuse ids of which one is given twice; arguments as of `repeated`.

    Raises:
        DuplicateIdError: names one.
    """
    found = repeated(blocks)
    if found is not None:
        raise DuplicateIdError(
            f"id {found.id!r} is given twice in {where}: name another column with id_column, or none"
        )


def repeated(blocks: Callable[[], Iterator[Any]], most_keys: int = _MOST_KEYS) -> Repeated | None:
    """An id that is given twice; None: there is none.

    Args:
        blocks: Begins to read the ids: integer arrays, or lists of str; the same each time.
        most_keys: How many ids a pass may hold.
    """
    total = sum(len(block) for block in blocks())
    passes = max(1, -(-total // most_keys))
    for number in range(passes):
        parts = [keys[keys % np.uint64(passes) == number] for keys in map(_keys, blocks())]
        ordered = np.sort(np.concatenate(parts)) if parts else np.empty(0, dtype=np.uint64)
        suspects = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
        found = _same(blocks(), suspects) if len(suspects) else None
        if found is not None:
            return found
    return None


def _keys(block: Any) -> U64:
    """A number for each id that spreads evenly: of an integer, one to one."""
    if isinstance(block, list):
        names = (name.encode(errors="surrogatepass") for name in block)
        hashes = b"".join(hashlib.blake2b(name, digest_size=8).digest() for name in names)
        return np.frombuffer(hashes, dtype="<u8").astype(np.uint64)
    mixed: U64 = np.asarray(block).astype(np.int64).view(np.uint64)
    mixed = (mixed ^ (mixed >> np.uint64(32))) * np.uint64(0x9E3779B97F4A7C15)
    return mixed ^ (mixed >> np.uint64(29))


def _same(blocks: Iterator[Any], suspects: U64) -> Repeated | None:
    """Different strings may have the same number; the same id twice is looked for."""
    seen: dict[Any, int] = {}
    for number, block in enumerate(blocks):
        for at in np.flatnonzero(np.isin(_keys(block), suspects)).tolist():
            value = block[at] if isinstance(block, list) else int(block[at])
            if value in seen:
                return Repeated(value, seen[value], number)
            seen[value] = number
    return None
