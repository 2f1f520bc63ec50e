"""Values of rows that become a column."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

from pqstore.arrays import I64
from pqstore.storage.attachments.column_groups import (
    DENSE,
    DTYPES,
    GROUP,
    INT,
    MEMBER,
    PRESENT,
    STR,
    TEXT,
    typed,
)
from pqstore.storage.attachments.row_sets import encode_positions

__all__ = ["FieldEntries"]


class FieldEntries:
    """Pairs of (value, row position) that become a column: the long form, in any order of values."""

    def __init__(self) -> None:
        self.groups: dict[int, tuple[list[Any], list[int]]] = {}

    def add(self, position: int, value: Any) -> None:
        """The row at `position` has the field, with this plain value."""
        self.enter(PRESENT, 0, position)
        if type(value) is list or type(value) is tuple:
            for member in {key for key in map(typed, value) if key is not None}:
                self.enter(member[0] + MEMBER, member[1], position)
            return
        key = typed(value)
        if key is not None:
            self.enter(key[0], key[1], position)

    def extend(self, other: FieldEntries, shift: int, keep: set[int] | None = None) -> None:
        """Add the entries of another, `shift` added to their positions; with `keep` only those that end up in it."""
        for tag, (keys, positions) in other.groups.items():
            for key, position in zip(keys, positions, strict=True):
                if keep is None or position + shift in keep:
                    self.enter(tag, key, position + shift)

    def enter(self, tag: int, key: Any, position: int) -> None:
        """Add an entry of a group."""
        group = self.groups.get(tag)
        if group is None:
            group = self.groups[tag] = ([], [])
        group[0].append(key)
        group[1].append(position)

    def add_many(self, values: Sequence[Any], positions: range) -> None:
        """As `add` for values of one after another of `positions`, faster where all have one simple type."""
        kinds = set(map(type, values))
        tag = {str: STR, int: INT}.get(kinds.pop()) if len(kinds) == 1 else None
        if tag == INT and not -(2**63) <= min(values) <= max(values) < 2**63:
            tag = None
        if tag is None:
            for position, value in zip(positions, values, strict=True):
                self.add(position, value)
            return
        for its_tag, keys in (
            (PRESENT, [0] * len(values)),
            (tag, [text.encode() for text in values] if tag == STR else list(values)),
        ):
            group = self.groups.setdefault(its_tag, ([], []))
            group[0].extend(keys)
            group[1].extend(positions)

    def as_set(self) -> set[tuple[int, Any, int]]:
        """(tag, key, position) of all entries."""
        return {
            (tag, key, position)
            for tag, (keys, positions) in self.groups.items()
            for key, position in zip(keys, positions, strict=True)
        }

    def pack(self, rows: int) -> bytes:
        """The bytes of a column over `rows` rows."""
        parts = [struct.pack("<I", len(self.groups))]
        for tag in sorted(self.groups):
            keys, positions = self.groups[tag]
            parts += _pack_group(tag, keys, np.array(positions, dtype=np.int64), rows)
        return b"".join(parts)


def _pack_group(tag: int, keys: list[Any], positions: I64, rows: int) -> list[bytes]:
    base = tag % MEMBER
    if base in TEXT:
        distinct = sorted(set(keys))
        numbers = {key: number for number, key in enumerate(distinct)}
        places = np.fromiter((numbers[key] for key in keys), dtype=np.int64, count=len(keys))
        offsets = np.zeros(len(distinct) + 1, dtype="<u4")
        np.cumsum([len(key) for key in distinct], out=offsets[1:])
        values = offsets.tobytes() + b"".join(distinct)
        count = len(distinct)
    else:
        ordered, places = np.unique(np.array(keys, dtype=DTYPES.get(base, "<i8")), return_inverse=True)
        values, count = ordered.tobytes(), len(ordered)
    places = places.reshape(-1)
    order = np.argsort(positions, kind="stable") if (positions[1:] < positions[:-1]).any() else None
    if order is not None:
        positions, places = positions[order], places[order]
    order = np.argsort(places, kind="stable")
    sorted_rows, sorted_places = positions[order].astype("<u2"), places[order]
    counts = np.bincount(places, minlength=count)
    begins_run = np.ones(len(sorted_rows), dtype=np.bool_)
    begins_run[1:] = (np.diff(positions[order]) != 1) | (np.diff(sorted_places) != 0)
    runs = np.bincount(sorted_places[begins_run], minlength=count)
    bounds = np.concatenate(([0], np.cumsum(counts)))
    starts = bounds.copy()
    dense, blob = [], bytearray()
    keep = np.ones(len(sorted_rows), dtype=np.bool_)
    for place in np.flatnonzero(2 * counts > np.minimum(-(-rows // 8), 4 * runs)).tolist():  # where a list is longer
        start, stop = int(bounds[place]), int(bounds[place + 1])
        container, content = encode_positions(sorted_rows[start:stop], rows)
        dense.append((place, container, len(blob), len(blob) + len(content)))
        blob += content
        keep[start:stop] = False
        starts[place + 1 :] -= stop - start
    listed = sorted_rows[keep].tobytes()
    head = GROUP.pack(tag, count, len(values), len(listed) // 2, len(dense), len(blob))
    return [head, values, starts.astype("<u4").tobytes(), np.array(dense, dtype=DENSE).tobytes(), listed, bytes(blob)]
