"""Values that nobody expects in the place of others: edges of numbers, other types, too many, too deep."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["changed_bytes", "changed_plain", "odd_number", "odd_plain"]

Rng = np.random.Generator

_NUMBERS = (
    0, 1, 2, 3, 7, 8, 31, 32, 33, 255, 256, 4095, 4096, 65_535, 65_536, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**40,
    2**46, 2**47, 2**53, 2**62, 2**62 + 1, 2**63 - 1, 2**63, 2**64 - 2, 2**64 - 1,
)  # fmt: skip
_TEXTS = (
    "", "a", "x" * 600, "x" * 5000, "int64", "str", "l2", "cosine", "\x1b[31m\nforged", "é\ud7ff", "\ud800", "../..",
    "\0",
)  # fmt: skip
_FLOATS = (0.0, -0.0, 1.5, -1.0, float("nan"), float("inf"), 1e308, 5e-324)


def odd_number(rng: Rng, old: int | None = None) -> int:
    """An edge, a negative one, a neighbour of the old, one bit of it flipped, or any."""
    kind = int(rng.integers(6))
    if old is not None and kind == 0:
        return old + int(rng.choice([-2, -1, 1, 2, 32, -32]))
    if old is not None and kind == 1:
        return old ^ 1 << int(rng.integers(63))
    if kind == 2:
        return -int(rng.choice(_NUMBERS[:20])) - 1
    if kind == 3:
        return int(rng.integers(0, 3000))
    return _NUMBERS[int(rng.integers(len(_NUMBERS)))]


def odd_plain(rng: Rng) -> Any:
    """Anything that msgpack carries."""
    makers: tuple[Callable[[], Any], ...] = (
        lambda: None,
        lambda: bool(rng.integers(2)),
        lambda: max(-(2**63), min(odd_number(rng), 2**64 - 1)),
        lambda: _FLOATS[int(rng.integers(len(_FLOATS)))],
        lambda: _TEXTS[int(rng.integers(len(_TEXTS)))],
        lambda: rng.bytes(int(rng.choice([0, 1, 8, 32, 64, 5000]))),
        lambda: [odd_plain(rng) for _ in range(int(rng.integers(5)))],
        lambda: {_TEXTS[int(rng.integers(4))]: odd_plain(rng) for _ in range(int(rng.integers(4)))},
        lambda: _nested(rng, int(rng.choice([3, 50, 300]))),
    )
    return makers[int(rng.integers(len(makers)))]()


def _nested(rng: Rng, depth: int) -> Any:
    deep: Any = 1
    for _ in range(depth):
        deep = [deep] if rng.integers(2) else {"a": deep}
    return deep


def changed_plain(rng: Rng, value: Any) -> Any:
    """The value with one thing in it changed, somewhere."""
    if isinstance(value, dict) and value and rng.integers(8):
        key = list(value)[int(rng.integers(len(value)))]
        changed = dict(value)
        kind = int(rng.integers(12))
        if kind == 0:
            del changed[key]
        elif kind == 1:
            changed[odd_plain(rng) if rng.integers(2) else "more"] = odd_plain(rng)
        else:
            changed[key] = changed_plain(rng, value[key])
        return changed
    if isinstance(value, (list, tuple)) and value and rng.integers(8):
        members = list(value)
        at = int(rng.integers(len(members)))
        kind = int(rng.integers(8))
        if kind == 0:
            del members[at]
        elif kind == 1:
            members.insert(at, members[at])
        elif kind == 2:
            members = members * int(rng.choice([2, 3, 1000]))
        else:
            members[at] = changed_plain(rng, members[at])
        return members
    if type(value) is int and rng.integers(4):
        return max(-(2**63), min(odd_number(rng, value), 2**64 - 1))
    return odd_plain(rng)


def changed_bytes(rng: Rng, content: bytes) -> bytes:
    """Bytes with a number put in, cut, prolonged, or some of them any."""
    changed = bytearray(content)
    kind = int(rng.integers(8))
    if kind == 0:
        del changed[int(rng.integers(len(changed) + 1)) :]
    elif kind == 1:
        changed += rng.bytes(int(rng.choice([1, 4, 8, 100])))
    elif kind == 2 and changed:
        at = int(rng.integers(len(changed)))
        del changed[at : at + int(rng.choice([1, 4, 8, 16]))]
    elif kind == 3 and changed:
        for _ in range(int(rng.integers(1, 20))):
            changed[int(rng.integers(len(changed)))] = int(rng.integers(256))
    elif len(changed) >= 8:
        form = "BHIQ"[int(rng.integers(4))]
        size = struct.calcsize("<" + form)
        near = min(len(changed), 96 if rng.integers(3) else len(changed)) - size
        at = int(rng.integers(near + 1)) // (1 if rng.integers(4) == 0 else size) * size
        at = min(at, len(changed) - size)
        (old,) = struct.unpack_from("<" + form, changed, at)
        struct.pack_into("<" + form, changed, at, odd_number(rng, old) & (1 << 8 * size) - 1)
    return bytes(changed)
