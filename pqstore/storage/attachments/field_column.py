"""The index of one field over the rows of one segment (or tail chunk): its distinct values in order, and who has them.

Values of one type form a group; numbers of different types are groups that compare with each other. Members of lists
form groups of their own. A range of values is a range of places in a group: its rows are one slice of row numbers,
and the few values that many rows have are bitmaps or runs beside it.
"""

from __future__ import annotations

import struct
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from pqstore.arrays import I64, U8
from pqstore.errors import CorruptIndexError
from pqstore.storage.attachments.column_groups import (
    DENSE,
    DTYPES,
    FLOAT,
    GROUP,
    INT,
    KINDS,
    MEMBER,
    NULL,
    PRESENT,
    STR,
    TEXT,
    UINT,
    Group,
    Numbers,
    Texts,
    first_place,
    group_key,
    kind_of,
    typed,
)
from pqstore.storage.attachments.field_entries import FieldEntries
from pqstore.storage.attachments.row_sets import mark_positions
from pqstore.storage.format.decoding import decoding

__all__ = ["Bound", "FieldColumn", "Wanted"]


class Wanted:
    """Values to look up in columns: what each of them is among the values of a group, worked out once."""

    def __init__(self, values: Iterable[Any]) -> None:
        keys: dict[int, set[Any]] = {}
        for value in values:
            for tag, key in _keys_of(value):
                keys.setdefault(tag, set()).add(key)
        self._keys: dict[int, Any] = {
            tag: sorted(found) if tag in TEXT else np.array(sorted(found), dtype=DTYPES.get(tag, "<i8"))
            for tag, found in keys.items()
        }

    def places_in(self, tag: int, values: Sequence[Any]) -> I64:
        """Ranges of places, int64 (n, 2), of those that are among the values of a group with this tag."""
        keys = self._keys.get(tag % MEMBER)
        if keys is None:
            return _NOWHERE
        if not isinstance(values, Numbers):
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
            yield INT, whole
        elif 2**63 <= whole < 2**64:
            yield UINT, whole
    try:
        number = float(value)
    except OverflowError:  # a whole number beyond float64 equals none
        return
    if number == value:
        yield FLOAT, number + 0.0


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
        self.number_by_row: npt.NDArray[np.unsignedinteger[Any]] | None = None
        """See `row_values`, which makes it once it is asked for."""
        try:
            self._read(content)
        except (struct.error, ValueError, IndexError, OverflowError) as error:
            raise CorruptIndexError(f"{name}: cannot be read ({error})") from error

    def _read(self, content: memoryview) -> None:
        (count,) = struct.unpack_from("<I", content)
        at = 4
        for _ in range(count):
            tag, distinct, value_bytes, listed, dense, blob_bytes = GROUP.unpack_from(content, at)
            at += GROUP.size
            if tag % MEMBER > PRESENT or tag >= 2 * MEMBER or tag in self.groups:
                raise ValueError(f"a group with tag {tag}, or a second one")
            sizes = (value_bytes, 4 * (distinct + 1), DENSE.itemsize * dense, 2 * listed, blob_bytes)
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
            if tag % MEMBER in TEXT:
                offsets = np.frombuffer(pieces[0][: 4 * (distinct + 1)], dtype="<u4")
                values = Texts(offsets, pieces[0][4 * (distinct + 1) :])
            else:
                values = Numbers(_aligned(np.frombuffer(pieces[0], dtype=DTYPES.get(tag % MEMBER, "<i8"))))
            if len(values) != distinct:
                raise ValueError(f"it has {len(values)} values, not {distinct}")
            table = _aligned(np.frombuffer(pieces[2], dtype="<u4")).reshape(-1, 4)
            self.groups[tag] = Group(values, starts, rows, table, np.frombuffer(pieces[4], dtype=np.uint8))
        if at != len(content):
            raise ValueError(f"{len(content) - at} bytes are left over")

    def kinds(self) -> set[str]:
        """What values rows have: kinds, and for members of lists "list of" their kind."""
        return {
            KINDS[tag] if tag < MEMBER else f"list of {KINDS[tag - MEMBER]}" for tag in self.groups if tag != PRESENT
        }

    def has_others(self) -> bool:
        """Whether a row has a value of no kind: a map, an empty list, NaN. For columns of no kind but null."""
        rest = self.present() & ~self.equal(Wanted([None]))
        return bool(rest.any())

    def filled(self, mask: U8 | None = None) -> U8:
        """Rows with a value of some kind other than null, or a list with a member of some kind, as a bitmap."""
        mask = self._mask() if mask is None else mask
        for tag, group in self.groups.items():
            if tag not in (NULL, PRESENT):
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
        group = self.groups.get(STR)
        if group is not None:
            assert isinstance(group.values, Texts)
            self._mark_places(group, group.values.places_with(part), mask)
        return mask

    def texts(self, holds: Callable[[str], bool], mask: U8 | None = None) -> U8:
        """Rows whose value is a str of which this holds, as a bitmap."""
        mask = self._mask() if mask is None else mask
        group = self.groups.get(STR)
        if group is not None:
            texts = group.values
            assert isinstance(texts, Texts)
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
        group = self.groups.get(PRESENT)
        if group is not None:
            self._mark(group.mark, np.array([[0, len(group.values)]]), mask)
        return mask

    def equal(self, wanted: Wanted, mask: U8 | None = None, *, members: bool = False) -> U8:
        """Rows whose value is one of those wanted, as a bitmap; with `members` those whose list contains one."""
        mask = self._mask() if mask is None else mask
        for tag, group in self.groups.items():
            if tag % MEMBER != PRESENT and (tag >= MEMBER) == members:
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
            if tag >= PRESENT or KINDS[tag] != kind:
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


def _aligned(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The array, or a copy where texts of any length before it have put it at an odd address."""
    return array if array.flags.aligned else array.copy()
