"""The groups of a column: distinct values of one type in order, and the rows that have each.

A value is a place in its group. Few rows are listed; the values that many rows have are bitmaps or runs beside.
"""

from __future__ import annotations

import math
import struct
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from itertools import pairwise
from types import NoneType
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from pqstore.arrays import I64, U8
from pqstore.native import native_loops
from pqstore.storage.attachments.row_sets import mark_positions
from pqstore.storage.rows.tombstones import count_set

__all__ = [
    "DENSE",
    "DTYPES",
    "FLOAT",
    "GROUP",
    "INT",
    "KINDS",
    "MEMBER",
    "NULL",
    "PRESENT",
    "STR",
    "TEXT",
    "TIME",
    "UINT",
    "FieldKind",
    "Group",
    "Numbers",
    "Texts",
    "first_place",
    "group_key",
    "is_of_members",
    "kind_of",
    "kind_of_group",
    "typed",
    "values_of_keys",
]

FieldKind = Literal["null", "bool", "number", "str", "bytes", "datetime"]

# Tags of groups; + MEMBER for members of lists
NULL, BOOL, INT, UINT, FLOAT, STR, BYTES, TIME, PRESENT = range(9)
MEMBER: Final = 16
KINDS: Final[dict[int, FieldKind]] = {
    NULL: "null",
    BOOL: "bool",
    INT: "number",
    UINT: "number",
    FLOAT: "number",
    STR: "str",
    BYTES: "bytes",
    TIME: "datetime",
}
DTYPES: Final = {UINT: "<u8", FLOAT: "<f8"}  # the others: "<i8"; strings and bytes have none
TEXT: Final = (STR, BYTES)

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MICROSECOND = timedelta(microseconds=1)

GROUP = struct.Struct("<BxxxIIIII")  # tag, distinct values, bytes of values, list entries, dense sets, bytes of them
DENSE = np.dtype([("place", "<u4"), ("container", "<u4"), ("start", "<u4"), ("stop", "<u4")])


def typed(value: Any) -> tuple[int, Any] | None:
    """(tag, key) of a value that can be looked up; None for maps, lists, NaN and others. Equal values, equal keys."""
    found: tuple[int, Any] | None = None
    if isinstance(value, str):
        found = STR, value.encode()
    elif isinstance(value, bool):
        found = BOOL, int(value)
    elif isinstance(value, int):
        if -(2**63) <= value < 2**64:
            found = (INT, value) if value < 2**63 else (UINT, value)
    elif isinstance(value, float):
        if not math.isnan(value):
            found = FLOAT, value + 0.0  # -0.0 is 0.0
    elif value is None:
        found = NULL, 0
    elif isinstance(value, (bytes, bytearray)):
        found = BYTES, bytes(value)
    elif isinstance(value, datetime):
        found = TIME, (value - _EPOCH) // _MICROSECOND
    return found


_KINDS_OF_TYPES: Final[dict[type, FieldKind]] = {
    NoneType: "null",
    bool: "bool",
    int: "number",
    float: "number",
    str: "str",
    bytes: "bytes",
    datetime: "datetime",
}


def values_of_keys(tag: int, keys: Sequence[Any], start: int, stop: int) -> list[Any]:
    """The plain values that the keys of a group from one place up to another stand for: the opposite of `typed`."""
    base = tag % MEMBER
    if isinstance(keys, Texts):
        return keys.decoded(start, stop) if base == STR else keys.between(start, stop)
    assert isinstance(keys, Numbers)
    plain: list[Any] = keys.array[start:stop].tolist()
    if base == TIME:
        return [_EPOCH + key * _MICROSECOND for key in plain]
    if base == BOOL:
        return list(map(bool, plain))
    return [None] * len(plain) if base == NULL else plain


def kind_of_group(tag: int) -> FieldKind | None:
    """The kind of the values of a group, be they members of lists; None: the group of rows that have the field."""
    return KINDS.get(tag % MEMBER)


def is_of_members(tag: int) -> bool:
    """Whether the values of a group are members of lists."""
    return tag >= MEMBER


def kind_of(value: Any) -> FieldKind | None:
    """The kind that a plain value compares within; None when it compares with nothing."""
    kind = _KINDS_OF_TYPES.get(type(value))
    return None if kind == "number" and value != value else kind  # noqa: PLR0124 # NaN


class Group:
    """Values of one type: `values[place]`, and rows: `listed[starts[place]:starts[place + 1]]` or a dense set."""

    __slots__ = ("_everyone", "blob", "dense", "listed", "starts", "values")

    def __init__(
        self,
        values: Sequence[Any],
        starts: npt.NDArray[np.uint32],
        listed: npt.NDArray[np.uint16],
        dense: npt.NDArray[np.uint32],
        blob: U8,
    ) -> None:
        """`dense` uint32 (n, 4): value, container, first and end byte in the blob."""
        self.values = values
        self.starts = starts
        self.listed = listed
        self.dense = dense
        self.blob = blob
        self._everyone: U8 | None = None

    def mark(self, ranges: I64, mask: U8) -> None:
        """Set the rows of the values within ranges of places, int64 (n, 2), in the mask. ValueError: no room there."""
        native = native_loops()
        if native is not None:
            native.set_values(self.starts, self.listed, self.dense, self.blob, ranges, mask)
            return
        for start, stop in ranges.tolist():
            rows = self.listed[int(self.starts[start]) : int(self.starts[stop])]
            flags = np.zeros(8 * len(mask), dtype=np.bool_)
            flags[rows] = True
            mask |= np.packbits(flags, bitorder="little")
            first, last = np.searchsorted(self.dense[:, 0], (start, stop)).tolist()
            for _, container, begin, end in self.dense[first:last].tolist():
                if not begin <= end <= len(self.blob):
                    raise ValueError(f"a set of rows at {begin} to {end} of {len(self.blob)} bytes")
                mark_positions(container, self.blob[begin:end], mask)

    def counts(self, start: int, stop: int, wanted: U8 | None, rows: int) -> I64:
        """How many rows have each of the values from place `start` up to `stop`, of those wanted: a bitmap of the first
        `rows` bits, lowest bit first; None: all. ValueError: a set of rows that cannot be."""
        first, last = int(self.starts[start]), int(self.starts[stop])
        bounds = self.starts[start : stop + 1].astype(np.int64) - first
        if wanted is None:
            found = np.diff(bounds)
        else:
            inside = np.unpackbits(wanted, count=rows, bitorder="little")[self.listed[first:last]]
            found = np.diff(np.concatenate(([0], np.cumsum(inside, dtype=np.int64)))[bounds])
        begin, end = np.searchsorted(self.dense[:, 0], (start, stop)).tolist()
        for place, container, low, high in self.dense[begin:end].tolist():
            mask = np.zeros(-(-rows // 8), dtype=np.uint8)
            mark_positions(container, self.blob[low:high], mask)
            found[place - start] += count_set(mask if wanted is None else mask & wanted[: len(mask)])
        return found

    def mark_between(self, start: int, stop: int, mask: U8) -> None:
        """The same for one range of a group in which no row has two values: most of them are all but the others."""
        count = len(self.values)
        if int(self.starts[stop]) - int(self.starts[start]) <= len(self.listed) // 2:
            self.mark(np.array([[start, stop]]), mask)
            return
        if self._everyone is None:
            everyone = np.zeros_like(mask)
            self.mark(np.array([[0, count]]), everyone)
            self._everyone = everyone
        others = np.zeros_like(mask)
        self.mark(np.array([[0, start], [stop, count]]), others)
        mask |= self._everyone & ~others


class Texts(Sequence[bytes]):
    """Byte strings of a record, by place."""

    __slots__ = ("_blob", "_offsets")

    def __init__(self, offsets: npt.NDArray[Any], blob: memoryview) -> None:
        self._offsets = offsets
        self._blob = blob

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def __getitem__(self, place: Any) -> Any:
        return bytes(self._blob[int(self._offsets[place]) : int(self._offsets[place + 1])])

    def between(self, start: int, stop: int) -> list[bytes]:
        """Those from one place up to another."""
        whole, ends = self._piece(start, stop)
        return [whole[begin:end] for begin, end in pairwise(ends)]

    def decoded(self, start: int, stop: int) -> list[str]:
        """The same as text."""
        whole, ends = self._piece(start, stop)
        if not whole.isascii():
            return [whole[begin:end].decode() for begin, end in pairwise(ends)]
        text = whole.decode("ascii")
        return [text[begin:end] for begin, end in pairwise(ends)]

    def _piece(self, start: int, stop: int) -> tuple[bytes, list[int]]:
        """Some of the strings as one, and where each begins and ends in it."""
        offsets = self._offsets[start : stop + 1].astype(np.int64)
        whole = bytes(self._blob[int(offsets[0]) : int(offsets[-1])])
        return whole, (offsets - offsets[0]).tolist()

    def places_with(self, part: bytes) -> Sequence[int]:
        """Places of strings with this part in them: it is looked for in all of them as one."""
        if not part:
            return range(len(self))
        whole, found, at = bytes(self._blob), [], 0
        while (at := whole.find(part, at)) >= 0:
            place = int(self._offsets.searchsorted(at, "right")) - 1
            end = int(self._offsets[place + 1]) if 0 <= place < len(self) else at
            if at + len(part) <= end:
                found.append(place)
                at = end
            else:  # it reaches into the next one
                at += 1
        return found


class Numbers(Sequence[Any]):
    """Numbers of a record as Python's, which compare exactly across types."""

    __slots__ = ("array",)

    def __init__(self, array: npt.NDArray[Any]) -> None:
        self.array = array

    def __len__(self) -> int:
        return len(self.array)

    def __getitem__(self, place: Any) -> Any:
        return self.array[place].item()


def group_key(tag: int, value: Any) -> Any:
    """A value of the kind of a group as it compares with those of a group: numbers as they are."""
    if KINDS[tag % MEMBER] == "number":
        return value
    key = typed(value)
    assert key is not None
    return key[1]


def first_place(values: Sequence[Any], key: Any, *, after: bool) -> int:
    """The first place of values that are not less than a key, or with `after` of those beyond it."""
    if isinstance(values, Numbers):
        kind = values.array.dtype.kind
        if (kind == "i" and isinstance(key, int) and -(2**63) <= key < 2**63) or (
            kind == "f" and isinstance(key, float)
        ):
            return int(values.array.searchsorted(key, "right" if after else "left"))
    return (bisect_right if after else bisect_left)(values, key)  # exact across types, one value at a time
