"""What was worked out for one state and may be asked for again: the newest of each kind, within bounds."""

from __future__ import annotations

from typing import Any

from pqstore.index.reading import Reading

__all__ = ["bytes_of_selection", "keep"]

_MOST_BYTES = 64 << 20  # of each kind, for one state of the index
_MOST_ENTRIES = 32


def keep(reading: Reading, key: tuple[Any, ...], value: Any, size: int) -> None:
    """Put something of so many bytes into ``reading.kept``, in place of the oldest of its kind where there are many.

    The kind is ``key[0]``.
    """
    kept = reading.kept
    alike = [other for other in list(kept) if isinstance(other, tuple) and other[0] == key[0]]
    most = max(1, min(_MOST_ENTRIES, _MOST_BYTES // (1 + size)))
    for other in alike[: max(0, len(alike) + 1 - most)]:
        kept.pop(other, None)
    kept[key] = value


def bytes_of_selection(reading: Reading) -> int:
    """What a selection takes: a bitmap of rows, and another in the order of lists where there are some."""
    return reading.snapshot.total_rows // 4
