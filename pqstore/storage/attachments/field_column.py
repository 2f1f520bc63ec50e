"""The index of one field over the rows of one segment (or tail chunk): its distinct values in order, and who has them.

Values of one type form a group; numbers of different types are groups that compare with each other. Members of lists
form groups of their own. A range of values is a range of places in a group: its rows are one slice of row numbers,
and the few values that many rows have are bitmaps or runs beside it.
"""

from __future__ import annotations

import math
import struct
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from itertools import pairwise
from types import NoneType
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from pqstore.arrays import I64, U8
from pqstore.errors import CorruptIndexError
from pqstore.native import native_loops
from pqstore.storage.attachments.row_sets import encode_positions, mark_positions
from pqstore.storage.format.decoding import decoding
from pqstore.storage.rows.tombstones import count_set

__all__ = ["Bound", "FieldColumn", "FieldEntries", "FieldKind", "Group", "Wanted", "first_place", "group_key"]
__all__ += ["is_of_members", "kind_of", "kind_of_group", "typed", "values_of_keys"]

FieldKind = Literal["null", "bool", "number", "str", "bytes", "datetime"]

# Tags of groups; + _MEMBER for members of lists
_NULL, _BOOL, _INT, _UINT, _FLOAT, _STR, _BYTES, _TIME, _PRESENT = range(9)
_MEMBER: Final = 16
_KINDS: Final[dict[int, FieldKind]] = {
    _NULL: "null",
    _BOOL: "bool",
    _INT: "number",
    _UINT: "number",
    _FLOAT: "number",
    _STR: "str",
    _BYTES: "bytes",
    _TIME: "datetime",
}
_DTYPES: Final = {_UINT: "<u8", _FLOAT: "<f8"}  # the others: "<i8"; strings and bytes have none
_TEXT: Final = (_STR, _BYTES)

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MICROSECOND = timedelta(microseconds=1)

_GROUP = struct.Struct("<BxxxIIIII")  # tag, distinct values, bytes of values, list entries, dense sets, bytes of them
_DENSE = np.dtype([("place", "<u4"), ("container", "<u4"), ("start", "<u4"), ("stop", "<u4")])


def typed(value: Any) -> tuple[int, Any] | None:
    """(tag, key) of a value that can be looked up; None for maps, lists, NaN and others. Equal values, equal keys."""
    found: tuple[int, Any] | None = None
    if isinstance(value, str):
        found = _STR, value.encode()
    elif isinstance(value, bool):
        found = _BOOL, int(value)
    elif isinstance(value, int):
        if -(2**63) <= value < 2**64:
            found = (_INT, value) if value < 2**63 else (_UINT, value)
    elif isinstance(value, float):
        if not math.isnan(value):
            found = _FLOAT, value + 0.0  # -0.0 is 0.0
    elif value is None:
        found = _NULL, 0
    elif isinstance(value, (bytes, bytearray)):
        found = _BYTES, bytes(value)
    elif isinstance(value, datetime):
        found = _TIME, (value - _EPOCH) // _MICROSECOND
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
    base = tag % _MEMBER
    if isinstance(keys, _Texts):
        return keys.decoded(start, stop) if base == _STR else keys.between(start, stop)
    assert isinstance(keys, _Numbers)
    plain: list[Any] = keys.array[start:stop].tolist()
    if base == _TIME:
        return [_EPOCH + key * _MICROSECOND for key in plain]
    if base == _BOOL:
        return list(map(bool, plain))
    return [None] * len(plain) if base == _NULL else plain


def kind_of_group(tag: int) -> FieldKind | None:
    """The kind of the values of a group, be they members of lists; None: the group of rows that have the field."""
    return _KINDS.get(tag % _MEMBER)


def is_of_members(tag: int) -> bool:
    """Whether the values of a group are members of lists."""
    return tag >= _MEMBER


def kind_of(value: Any) -> FieldKind | None:
    """The kind that a plain value compares within; None when it compares with nothing."""
    kind = _KINDS_OF_TYPES.get(type(value))
    return None if kind == "number" and value != value else kind  # noqa: PLR0124 # NaN


class FieldEntries:
    """Pairs of (value, row position) that become a column: the long form, in any order of values."""

    def __init__(self) -> None:
        self.groups: dict[int, tuple[list[Any], list[int]]] = {}

    def add(self, position: int, value: Any) -> None:
        """The row at `position` has the field, with this plain value."""
        self.enter(_PRESENT, 0, position)
        if type(value) is list or type(value) is tuple:
            for member in {key for key in map(typed, value) if key is not None}:
                self.enter(member[0] + _MEMBER, member[1], position)
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
        tag = {str: _STR, int: _INT}.get(kinds.pop()) if len(kinds) == 1 else None
        if tag == _INT and not -(2**63) <= min(values) <= max(values) < 2**63:
            tag = None
        if tag is None:
            for position, value in zip(positions, values, strict=True):
                self.add(position, value)
            return
        for its_tag, keys in (
            (_PRESENT, [0] * len(values)),
            (tag, [text.encode() for text in values] if tag == _STR else list(values)),
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
    base = tag % _MEMBER
    if base in _TEXT:
        distinct = sorted(set(keys))
        numbers = {key: number for number, key in enumerate(distinct)}
        places = np.fromiter((numbers[key] for key in keys), dtype=np.int64, count=len(keys))
        offsets = np.zeros(len(distinct) + 1, dtype="<u4")
        np.cumsum([len(key) for key in distinct], out=offsets[1:])
        values = offsets.tobytes() + b"".join(distinct)
        count = len(distinct)
    else:
        ordered, places = np.unique(np.array(keys, dtype=_DTYPES.get(base, "<i8")), return_inverse=True)
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
    head = _GROUP.pack(tag, count, len(values), len(listed) // 2, len(dense), len(blob))
    return [head, values, starts.astype("<u4").tobytes(), np.array(dense, dtype=_DENSE).tobytes(), listed, bytes(blob)]


class Wanted:
    """Values to look up in columns: what each of them is among the values of a group, worked out once."""

    def __init__(self, values: Iterable[Any]) -> None:
        keys: dict[int, set[Any]] = {}
        for value in values:
            for tag, key in _keys_of(value):
                keys.setdefault(tag, set()).add(key)
        self._keys: dict[int, Any] = {
            tag: sorted(found) if tag in _TEXT else np.array(sorted(found), dtype=_DTYPES.get(tag, "<i8"))
            for tag, found in keys.items()
        }

    def places_in(self, tag: int, values: Sequence[Any]) -> I64:
        """Ranges of places, int64 (n, 2), of those that are among the values of a group with this tag."""
        keys = self._keys.get(tag % _MEMBER)
        if keys is None:
            return _NOWHERE
        if not isinstance(values, _Numbers):
            found = ((bisect_left(values, key), key) for key in keys)
            places = np.array([at for at, key in found if at < len(values) and values[at] == key], dtype=np.int64)
        elif len(keys) == 1:  # the most frequent question
            at = int(values.array.searchsorted(keys[0]))
            return np.array([[at, at + 1]]) if at < len(values) and values.array[at] == keys[0] else _NOWHERE
        else:
            places = values.array.searchsorted(keys)
            places = places[places < len(values)]
            places = places[values.array[places] == keys[: len(places)]]
        return np.stack((places, places + 1), axis=1)


_NOWHERE: Final = np.empty((0, 2), dtype=np.int64)


def _keys_of(value: Any) -> Iterator[tuple[int, Any]]:
    """(tag, key) of every way in which a value equal to this one may be stored."""
    if kind_of(value) != "number":
        key = typed(value)
        if key is not None:
            yield key
        return
    if isinstance(value, int) or value.is_integer():
        whole = int(value)
        if -(2**63) <= whole < 2**63:
            yield _INT, whole
        elif 2**63 <= whole < 2**64:
            yield _UINT, whole
    try:
        number = float(value)
    except OverflowError:  # a whole number beyond float64 equals none
        return
    if number == value:
        yield _FLOAT, number + 0.0


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


class _Texts(Sequence[bytes]):
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


class _Numbers(Sequence[Any]):
    """Numbers of a record as Python's, which compare exactly across types."""

    __slots__ = ("array",)

    def __init__(self, array: npt.NDArray[Any]) -> None:
        self.array = array

    def __len__(self) -> int:
        return len(self.array)

    def __getitem__(self, place: Any) -> Any:
        return self.array[place].item()


@dataclass(frozen=True, slots=True)
class Bound:
    """One end of a range of values."""

    value: Any
    inclusive: bool


class FieldColumn:
    """A column as it was read; every length in it is checked before it is used."""

    def __init__(self, content: memoryview, rows: int, name: str) -> None:
        """`name` for messages. Raises `CorruptIndexError`."""
        self.rows = rows
        self.name = name
        self.groups: dict[int, Group] = {}
        """By tag."""
        try:
            self._read(content)
        except (struct.error, ValueError, IndexError, OverflowError) as error:
            raise CorruptIndexError(f"{name}: cannot be read ({error})") from error

    def _read(self, content: memoryview) -> None:
        (count,) = struct.unpack_from("<I", content)
        at = 4
        for _ in range(count):
            tag, distinct, value_bytes, listed, dense, blob_bytes = _GROUP.unpack_from(content, at)
            at += _GROUP.size
            if tag % _MEMBER > _PRESENT or tag >= 2 * _MEMBER or tag in self.groups:
                raise ValueError(f"a group with tag {tag}, or a second one")
            sizes = (value_bytes, 4 * (distinct + 1), _DENSE.itemsize * dense, 2 * listed, blob_bytes)
            pieces = []
            for size in sizes:
                pieces.append(content[at : at + size])
                at += size
            if at > len(content):
                raise ValueError("it ends within a group")
            starts = _aligned(np.frombuffer(pieces[1], dtype="<u4"))
            rows = _aligned(np.frombuffer(pieces[3], dtype="<u2"))
            if starts[0] or starts[-1] != listed or np.any(starts[1:] < starts[:-1]):
                raise ValueError("its places do not ascend")
            if listed and int(rows.max()) >= self.rows:
                raise ValueError(f"it names row {int(rows.max())} of {self.rows}")
            values: Sequence[Any]
            if tag % _MEMBER in _TEXT:
                offsets = np.frombuffer(pieces[0][: 4 * (distinct + 1)], dtype="<u4")
                values = _Texts(offsets, pieces[0][4 * (distinct + 1) :])
            else:
                values = _Numbers(_aligned(np.frombuffer(pieces[0], dtype=_DTYPES.get(tag % _MEMBER, "<i8"))))
            if len(values) != distinct:
                raise ValueError(f"it has {len(values)} values, not {distinct}")
            table = _aligned(np.frombuffer(pieces[2], dtype="<u4")).reshape(-1, 4)
            self.groups[tag] = Group(values, starts, rows, table, np.frombuffer(pieces[4], dtype=np.uint8))
        if at != len(content):
            raise ValueError(f"{len(content) - at} bytes are left over")

    def kinds(self) -> set[str]:
        """What values rows have: kinds, and for members of lists "list of" their kind."""
        return {
            _KINDS[tag] if tag < _MEMBER else f"list of {_KINDS[tag - _MEMBER]}"
            for tag in self.groups
            if tag != _PRESENT
        }

    def has_others(self) -> bool:
        """Whether a row has a value of no kind: a map, an empty list, NaN. For columns of no kind but null."""
        rest = self.present() & ~self.equal(Wanted([None]))
        return bool(rest.any())

    def filled(self, mask: U8 | None = None) -> U8:
        """Rows with a value of some kind other than null, or a list with a member of some kind, as a bitmap."""
        mask = self._mask() if mask is None else mask
        for tag, group in self.groups.items():
            if tag not in (_NULL, _PRESENT):
                self._mark(group.mark, np.array([[0, len(group.values)]]), mask)
        return mask

    def unclear(self, mask: U8 | None = None) -> U8:
        """Rows with a value of which a column does not say what it is: a map, NaN, a list without a member of some
        kind."""
        mask = self._mask() if mask is None else mask
        mask |= self.present() & ~self.filled() & ~self.equal(Wanted([None]))
        return mask

    def containing(self, part: bytes, mask: U8 | None = None) -> U8:
        """Rows whose value is a str with this part, in UTF-8, as a bitmap."""
        mask = self._mask() if mask is None else mask
        group = self.groups.get(_STR)
        if group is not None:
            assert isinstance(group.values, _Texts)
            self._mark_places(group, group.values.places_with(part), mask)
        return mask

    def texts(self, holds: Callable[[str], bool], mask: U8 | None = None) -> U8:
        """Rows whose value is a str of which this holds, as a bitmap."""
        mask = self._mask() if mask is None else mask
        group = self.groups.get(_STR)
        if group is not None:
            texts = group.values
            assert isinstance(texts, _Texts)
            with decoding(self.name):
                places = [place for place, text in enumerate(texts.decoded(0, len(texts))) if holds(text)]
            self._mark_places(group, places, mask)
        return mask

    def _mark_places(self, group: Group, places: Sequence[int], mask: U8) -> None:
        if places:
            starts = np.array(places, dtype=np.int64)
            self._mark(group.mark, np.stack((starts, starts + 1), axis=1), mask)

    def _mask(self) -> U8:
        return np.zeros(-(-self.rows // 8), dtype=np.uint8)

    def present(self, mask: U8 | None = None) -> U8:
        """Rows that have the field, as a bitmap; set in `mask` where one is given."""
        mask = self._mask() if mask is None else mask
        group = self.groups.get(_PRESENT)
        if group is not None:
            self._mark(group.mark, np.array([[0, len(group.values)]]), mask)
        return mask

    def equal(self, wanted: Wanted, mask: U8 | None = None, *, members: bool = False) -> U8:
        """Rows whose value is one of those wanted, as a bitmap; with `members` those whose list contains one."""
        mask = self._mask() if mask is None else mask
        for tag, group in self.groups.items():
            if tag % _MEMBER != _PRESENT and (tag >= _MEMBER) == members:
                ranges = wanted.places_in(tag, group.values)
                if len(ranges):
                    self._mark(group.mark, ranges, mask)
        return mask

    def between(self, low: Bound | None, high: Bound | None, mask: U8 | None = None) -> U8:
        """Rows whose value is of the kind of the bounds and within them, as a bitmap. At least one bound is given."""
        mask = self._mask() if mask is None else mask
        bound = low or high
        assert bound is not None
        kind = kind_of(bound.value)
        for tag, group in self.groups.items():
            if tag >= _PRESENT or _KINDS[tag] != kind:
                continue
            start, stop = 0, len(group.values)
            if low is not None:
                start = first_place(group.values, group_key(tag, low.value), after=not low.inclusive)
            if high is not None:
                stop = first_place(group.values, group_key(tag, high.value), after=high.inclusive)
            if start < stop:
                self._mark(group.mark_between, start, stop, mask)
        return mask

    def _mark(self, mark: Callable[..., None], *arguments: Any) -> None:
        try:
            mark(*arguments)
        except (ValueError, IndexError) as error:
            raise CorruptIndexError(f"{self.name}: cannot be read ({error})") from error

    def entries(self, into: FieldEntries, new_position: npt.NDArray[np.int64]) -> None:
        """Add everything to `into`, rows renamed: position p becomes ``new_position[p]``, or goes where that is -1."""
        with decoding(self.name):
            self._enter_all(into, new_position)

    def _enter_all(self, into: FieldEntries, new_position: npt.NDArray[np.int64]) -> None:
        for tag, group in self.groups.items():
            keys, positions = into.groups.setdefault(tag, ([], []))
            places = np.repeat(np.arange(len(group.values)), group.starts[1:].astype(np.int64) - group.starts[:-1])
            pieces: list[tuple[npt.NDArray[Any], npt.NDArray[Any]]] = [(places, group.listed)]
            for place, container, begin, end in group.dense.tolist():
                mask = self._mask()
                mark_positions(container, group.blob[begin:end], mask)
                rows = np.flatnonzero(np.unpackbits(mask, count=self.rows, bitorder="little"))
                pieces.append((np.full(len(rows), place), rows))
            for places, rows in pieces:
                new = new_position[rows]
                keys.extend([group.values[place] for place in places[new >= 0].tolist()])
                positions.extend(new[new >= 0].tolist())
            if not keys:
                del into.groups[tag]


def group_key(tag: int, value: Any) -> Any:
    """A value of the kind of a group as it compares with those of a group: numbers as they are."""
    if _KINDS[tag % _MEMBER] == "number":
        return value
    key = typed(value)
    assert key is not None
    return key[1]


def first_place(values: Sequence[Any], key: Any, *, after: bool) -> int:
    """The first place of values that are not less than a key, or with `after` of those beyond it."""
    if isinstance(values, _Numbers):
        kind = values.array.dtype.kind
        if (kind == "i" and isinstance(key, int) and -(2**63) <= key < 2**63) or (
            kind == "f" and isinstance(key, float)
        ):
            return int(values.array.searchsorted(key, "right" if after else "left"))
    return (bisect_right if after else bisect_left)(values, key)  # exact across types, one value at a time


def _aligned(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The array, or a copy where texts of any length before it have put it at an odd address."""
    return array if array.flags.aligned else array.copy()
