"""Ranges: consecutive ids on consecutive rows take 24 bytes, however many they are."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from pqstore.arrays import I64
from pqstore.storage.format.state import Range
from pqstore.storage.idmap.search import Candidates
from pqstore.storage.rows.geometry import Geometry

__all__ = ["MAX_RANGES", "ascend", "find_in_ranges", "find_one_in_ranges", "trimmed", "with_range"]

MAX_RANGES = 64
_SIGN = 1 << 63


def find_in_ranges(ranges: Sequence[Range], ids: I64) -> list[Candidates]:
    """Candidates for ids (ascending) in every range."""
    found = []
    for entry in ranges:
        start = int(np.searchsorted(ids, entry.first_id))
        stop = int(np.searchsorted(ids, entry.first_id + entry.count - 1, side="right"))
        if start < stop:
            rows = ids[start:stop] - np.int64(entry.first_id) + np.int64(entry.first_row)
            found.append(Candidates(np.arange(start, stop), rows))
    return found


def find_one_in_ranges(ranges: Sequence[Range], key: int) -> list[int]:
    """Candidate rows of one id, given by its key."""
    identifier = key - _SIGN
    return [
        entry.first_row + identifier - entry.first_id
        for entry in ranges
        if 0 <= identifier - entry.first_id < entry.count
    ]


def with_range(ranges: tuple[Range, ...], new: Range) -> tuple[Range, ...] | None:
    """The ranges with `new` among them, joined to one that it continues; None when there are too many already."""
    for at, entry in enumerate(ranges):
        if (entry.first_id + entry.count, entry.first_row + entry.count) == (new.first_id, new.first_row):
            grown = Range(entry.first_id, entry.first_row, entry.count + new.count)
            return (*ranges[:at], grown, *ranges[at + 1 :])
    if len(ranges) >= MAX_RANGES:
        return None
    return (*ranges, new)


def ascend(ranges: Sequence[Range], spans: Sequence[tuple[int, int]]) -> bool:
    """Whether ranges hold all rows of `spans`, (first, stop) ascending, with ids that ascend as the rows do."""
    ordered = sorted(ranges, key=lambda entry: entry.first_row)
    if any(after.first_id < before.first_id + before.count for before, after in pairwise(ordered)):
        return False
    remaining = iter(ordered)
    entry = next(remaining, None)
    for first, stop in spans:
        row = first
        while row < stop:
            while entry is not None and entry.first_row + entry.count <= row:
                entry = next(remaining, None)
            if entry is None or entry.first_row > row:
                return False
            row = entry.first_row + entry.count
    return True


def trimmed(ranges: tuple[Range, ...], geometry: Geometry, segments: Sequence[int]) -> tuple[Range, ...]:
    """The ranges without the segments at their ends that are gone; `segments`, ascending, are those that exist."""
    kept = []
    for entry in ranges:
        first, last = entry.first_row, entry.first_row + entry.count - 1
        at = bisect_left(segments, geometry.locate(first)[0])
        stop = bisect_right(segments, geometry.locate(last)[0])
        if at == stop:
            continue
        first = max(first, geometry.first_row(segments[at]))
        last = min(last, geometry.first_row(segments[stop - 1] + 1) - 1)
        kept.append(Range(entry.first_id + first - entry.first_row, first, last - first + 1))
    return tuple(kept)
