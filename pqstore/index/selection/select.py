"""Which rows a search may return: bitmaps, one for each chunk that has any, worked out before the scan."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from pqstore.arrays import I64, U8
from pqstore.errors import InvalidFilterError
from pqstore.index.arguments.ids import IdType, as_id_batch
from pqstore.index.arguments.sets import ids_of_set
from pqstore.index.code_space import CodeSpace
from pqstore.index.filters import Condition, fields_of, matches, parse, plan
from pqstore.index.filters.columns import evaluate
from pqstore.index.filters.tree import All, AnyOf, Between, Not
from pqstore.kernels import CodeChunk, active
from pqstore.storage import FieldColumn, RowUnit, Snapshot, count_set, kind_of

__all__ = ["IdSet", "Selection", "live_mask", "select"]


_MEMO_BYTES = 64 << 20  # of each kind of answer that is kept for one state of the index
_MEMO_ENTRIES = 32


class IdSet:
    """Ids that many searches allow or deny: their rows are looked up once for each state of the index.

    Example: ``mine = pqstore.IdSet(ids)``, then ``index.search(query, allow=mine)`` as often as you like. What is added
    to or removed from `ids` later does not count.
    """

    __slots__ = ("_ids",)

    def __init__(self, ids: Any) -> None:
        self._ids = ids.copy() if isinstance(ids, np.ndarray) else list(ids)

    def __len__(self) -> int:
        """How many ids were given."""
        return len(self._ids)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._ids)


@dataclass(slots=True)
class Selection:
    """The live rows that are allowed: as bitmaps by unit (units without any are left out), as numbers, or both."""

    units: Sequence[RowUnit]
    count: int
    _masks: dict[int, U8] | None = None
    _rows: I64 | None = None
    indexed: tuple[str, ...] = ()
    """Fields answered by their index."""
    scanned: tuple[str, ...] = ()
    """Fields for which payloads were read."""
    payloads_read: int = 0
    _chunks: list[CodeChunk] | None = None
    _codes: npt.NDArray[Any] | None = None
    _prepared: Any = None
    _gathered: Any = None
    _rows_and_none: I64 | None = None
    gathers: bool | None = None
    """Whether codes of its rows are better fetched one by one; None: not asked yet."""
    part_of: Selection | None = None
    """The selection by filter that this one was made from."""

    @property
    def masks(self) -> dict[int, U8]:
        """Bitmaps by place in `units`, 1: allowed."""
        if self._masks is None:
            assert self._rows is not None
            self._masks = _masks_of(self.units, self._rows)
        return self._masks

    def chunks(self, snapshot: Snapshot) -> list[CodeChunk]:
        """What is left to scan: chunks with an allowed row, all others of their rows marked as dead."""
        if self._chunks is None:
            every = snapshot.chunks()
            self._chunks = [
                CodeChunk(every[at].packed, every[at].rows, every[at].first_row, ~mask)
                for at, mask in self.masks.items()
            ]
        return self._chunks

    def prepared(self, snapshot: Snapshot, space: CodeSpace) -> Any:
        """The chunks, ready to be searched."""
        if self._prepared is None:
            self._prepared = space.searcher.prepare(self.chunks(snapshot))
        return self._prepared

    def gathered(self, snapshot: Snapshot, space: CodeSpace) -> Any:
        """The codes of the rows, fetched one by one, as a chunk ready to be searched: its row i is ``rows()[i]``."""
        if self._gathered is None:
            codes = self.codes(snapshot)
            packed = active().pack(space.layout, codes)
            self._gathered = space.searcher.prepare((CodeChunk(packed, len(codes), 0),))
        return self._gathered

    def rows(self) -> I64:
        """The rows, ascending."""
        if self._rows is None:
            found = [_positions(mask) + self.units[at].first_row for at, mask in self.masks.items()]
            self._rows = np.concatenate(found) if found else np.empty(0, dtype=np.int64)
        return self._rows

    def rows_at(self, places: I64) -> I64:
        """The rows at places in `rows`, of any shape; -1 stays -1."""
        if self._rows_and_none is None:
            self._rows_and_none = np.append(self.rows(), -1)
        return self._rows_and_none[places]

    def codes(self, snapshot: Snapshot) -> npt.NDArray[Any]:
        """Stored labels (count, M) of the rows."""
        if self._codes is None:
            self._codes = snapshot.codes_of(self.rows())
        return self._codes


def _positions(mask: U8) -> I64:
    """Positions of the bits that are set, ascending."""
    places = np.flatnonzero(mask)
    inside, bits = np.nonzero(np.unpackbits(mask[places], bitorder="little").reshape(-1, 8))
    return places[inside] * 8 + bits


def select(
    snapshot: Snapshot, id_type: IdType, where: Any = None, allow: Any = None, deny: Any = None
) -> Selection | None:
    """The rows that a filter, ids to allow and ids to deny leave; None when nothing was asked. Ids that are not in the
    index are passed over; a str is the name of a saved set.

    Raises:
        InvalidFilterError: see `pqstore.index.filters.parse`; a field that no payload has, or a comparison with a kind
            of value that the field never has.
        InvalidIdError: `allow` or `deny` are no ids of this index.
        UnknownSetError: no set was saved under this name.
    """
    chosen = None if where is None else _by_filter(snapshot, where)
    if allow is None and deny is None:
        return chosen
    if not all(isinstance(ids, (IdSet, str, type(None))) for ids in (allow, deny)):
        return _combine(snapshot, id_type, chosen, allow, deny)
    key = ("sets", id(chosen), allow, deny)
    known: Selection | None = snapshot.memo.get(key)
    # `chosen` may have made room for another since, and its number be given again: what was combined is kept with it.
    if known is None or known.part_of is not chosen:
        known = _combine(snapshot, id_type, chosen, allow, deny)
        known.part_of = chosen
        _keep(snapshot, key, known, snapshot.total_rows // 8)
    return known


def _keep(snapshot: Snapshot, key: tuple[Any, ...], value: Any, size: int) -> None:
    """Remember something of so many bytes for this state of the index, in place of the oldest where there are many."""
    memo = snapshot.memo
    kept = [other for other in list(memo) if isinstance(other, tuple) and other[0] == key[0]]
    most = max(1, min(_MEMO_ENTRIES, _MEMO_BYTES // (1 + size)))
    for other in kept[: max(0, len(kept) + 1 - most)]:
        memo.pop(other, None)
    memo[key] = value


def _combine(snapshot: Snapshot, id_type: IdType, chosen: Selection | None, allow: Any, deny: Any) -> Selection:
    """What a filter leaves (None: all), within the ids to allow and without those to deny; one of them is given."""
    units = _frame(snapshot).units
    denied = None if deny is None else _rows_of(snapshot, deny, id_type)
    if allow is not None:
        rows = _rows_of(snapshot, allow, id_type)
        if denied is not None:
            rows = np.setdiff1d(rows, denied, assume_unique=True)
        if chosen is not None:
            rows = rows[_are_in(chosen, rows)]
        result = Selection(units, len(rows), _rows=rows)
    else:
        assert denied is not None
        masks = dict(chosen.masks) if chosen is not None else dict(enumerate(_frame(snapshot).live_by_unit()))
        for at, mask in _masks_of(units, denied).items():
            if at in masks:
                masks[at] = masks[at] & ~mask
        masks = {at: mask for at, mask in masks.items() if mask.any()}
        result = Selection(units, _count(masks), masks)
    if chosen is not None:
        result.indexed, result.scanned, result.payloads_read = chosen.indexed, chosen.scanned, chosen.payloads_read
    return result


def _are_in(selection: Selection, rows: I64) -> npt.NDArray[np.bool_]:
    """Which of ascending rows a selection allows."""
    inside = np.zeros(len(rows), dtype=np.bool_)
    for at, mask in selection.masks.items():
        unit = selection.units[at]
        start, stop = np.searchsorted(rows, (unit.first_row, unit.first_row + unit.rows)).tolist()
        positions = rows[start:stop] - unit.first_row
        inside[start:stop] = (mask[positions >> 3] >> (positions & 7).astype(np.uint8)) & 1
    return inside


def live_mask(unit: RowUnit) -> U8:
    """The rows of a unit that are not dead."""
    size = -(-unit.rows // 8)
    mask = np.full(size, 255, dtype=np.uint8) if unit.dead is None else ~unit.dead[:size]
    if unit.rows % 8:
        mask[-1] &= (1 << unit.rows % 8) - 1
    return mask


@dataclass(frozen=True, slots=True)
class _Frame:
    """How one bitmap covers all rows of a state: each unit begins with a byte of its own."""

    units: Sequence[RowUnit]
    places: Sequence[slice]
    """The bytes of each unit."""
    live: U8
    """Rows that are not dead."""

    def live_by_unit(self) -> list[U8]:
        return [self.live[place] for place in self.places]


def _frame(snapshot: Snapshot) -> _Frame:
    frame: _Frame | None = snapshot.memo.get("frame")
    if frame is None:
        units = snapshot.units()
        ends = np.cumsum([-(-unit.rows // 8) for unit in units], dtype=np.int64).tolist()
        places = [slice(start, end) for start, end in zip([0, *ends], ends, strict=False)]
        live = np.concatenate([np.empty(0, dtype=np.uint8), *(live_mask(unit) for unit in units)])
        live.flags.writeable = False
        frame = snapshot.memo["frame"] = _Frame(units, places, live)
    return frame


def _rows_of(snapshot: Snapshot, ids: Any, id_type: IdType) -> I64:
    """Live rows of ids, ascending."""
    if not isinstance(ids, (IdSet, str)):
        rows = snapshot.rows_of(as_id_batch(ids, id_type))
        return np.unique(rows[rows >= 0])
    key = ("set", ids)
    known: I64 | None = snapshot.memo.get(key)
    if known is None:
        batch = ids_of_set(snapshot, ids) if isinstance(ids, str) else as_id_batch(list(ids), id_type)
        rows = snapshot.rows_of(batch)
        known = np.unique(rows[rows >= 0])
        _keep(snapshot, key, known, known.nbytes)
    return known


def _masks_of(units: Sequence[RowUnit], rows: I64) -> dict[int, U8]:
    """Bitmaps of ascending rows, which are live."""
    starts = np.fromiter((unit.first_row for unit in units), dtype=np.int64, count=len(units))
    places = np.searchsorted(starts, rows, side="right") - 1
    masks = {}
    bounds = np.concatenate(([0], np.flatnonzero(np.diff(places)) + 1, [len(rows)])) if len(rows) else [0]
    for start, stop in pairwise(bounds):
        unit = units[int(places[start])]
        flags = np.zeros(-(-unit.rows // 8) * 8, dtype=np.bool_)
        flags[rows[start:stop] - unit.first_row] = True
        masks[int(places[start])] = np.packbits(flags, bitorder="little")
    return masks


def _count(masks: Mapping[int, U8]) -> int:
    return sum(map(count_set, masks.values()))


# -- filters ---------------------------------------------------------------------------------------------------------


def _by_filter(snapshot: Snapshot, where: Any) -> Selection:
    try:
        key = ("where", _frozen(where))
        known: Selection | None = snapshot.memo.get(key)
    except TypeError:
        key, known = None, None
    if known is not None:
        return known
    condition = parse(where)
    _refuse_unknown_fields(snapshot, condition)
    found = _evaluate(snapshot, condition)
    if key is not None:
        _keep(snapshot, key, found, snapshot.total_rows // 8)
    return found


_PLAIN = (str, int, float, bool, bytes, datetime, type(None))


def _frozen(where: Any) -> Any:
    """A filter as something to look up, with the types of its values: 1, 1.0 and True are three values.

    Raises:
        TypeError: it has values of types that may be equal without meaning the same.
    """
    kind = type(where)
    if kind is dict:
        return tuple((_frozen(key), _frozen(value)) for key, value in where.items())
    if kind is list or kind is tuple:
        return kind, tuple(map(_frozen, where))
    if kind not in _PLAIN:
        raise TypeError(f"{kind.__name__} cannot be looked up")
    return kind, where


def _refuse_unknown_fields(snapshot: Snapshot, condition: Condition) -> None:
    catalog = snapshot.catalog
    unknown = sorted(set(fields_of(condition)) - set(catalog.names) - set(catalog.fields))
    if unknown and not catalog.names_are_full:
        known = ", ".join(repr(name) for name in sorted({*catalog.names, *catalog.fields})[:20]) or "none"
        raise InvalidFilterError(
            f"no payload of this index has ever had the field {unknown[0]!r} (fields: {known}); declare one that is "
            "still to come with create_field_index()"
        )


def _evaluate(snapshot: Snapshot, condition: Condition) -> Selection:
    catalog, frame = snapshot.catalog, _frame(snapshot)
    numbers = {name: number for number, name in enumerate(catalog.fields)}
    halves = plan(condition, frozenset(numbers))
    _refuse_incomparable_columns(snapshot, frame.units, halves.indexed, numbers)
    watched: dict[str, set[type]] = {c.field: set() for c in _comparisons(halves.scanned)}
    allowed = frame.live

    def columns_of(name: str) -> Iterator[tuple[FieldColumn, slice]]:
        number = numbers[name]
        for unit, place in zip(frame.units, frame.places, strict=True):
            yield snapshot.column(unit, number), place

    if halves.indexed is not None:
        allowed = frame.live & evaluate(halves.indexed, columns_of, len(frame.live))
    read = 0
    if halves.scanned is not None:
        allowed = allowed.copy()
        for unit, place in zip(frame.units, frame.places, strict=True):
            if allowed[place].any():
                allowed[place], count = _scan(snapshot, unit, allowed[place], halves.scanned, watched)
                read += count
    _refuse_incomparable(halves.scanned, watched)
    return Selection(
        frame.units,
        count_set(allowed),
        {at: allowed[place] for at, place in enumerate(frame.places) if allowed[place].any()},
        None,
        tuple(sorted(set(fields_of(halves.indexed)))) if halves.indexed is not None else (),
        tuple(sorted(set(fields_of(halves.scanned)))) if halves.scanned is not None else (),
        read,
    )


def _scan(
    snapshot: Snapshot, unit: RowUnit, mask: U8, condition: Condition, watched: Mapping[str, set[type]]
) -> tuple[U8, int]:
    """Those rows of a mask whose payloads fulfil the condition, and how many payloads were read."""
    candidates = np.unpackbits(mask, count=unit.rows, bitorder="little").astype(np.bool_)
    allowed = candidates & matches(condition, None)  # what holds for rows without a payload
    read = 0
    for row, payload in _payloads(snapshot, unit, candidates):
        read += 1
        allowed[row - unit.first_row] = matches(condition, payload)
        for name, types in watched.items():
            if name in payload:
                types.add(type(payload[name]))
    return np.packbits(allowed, bitorder="little"), read


def _payloads(
    snapshot: Snapshot, unit: RowUnit, candidates: npt.NDArray[np.bool_]
) -> Iterator[tuple[int, dict[str, Any]]]:
    """(row, payload) of candidates that have one: read in a sweep, or one by one where they are few."""
    rows = np.flatnonzero(candidates) + unit.first_row
    if len(rows) < unit.rows // 4:
        yield from ((row, p) for row, p in zip(rows.tolist(), snapshot.payloads_of(rows), strict=True) if p is not None)
        return
    for row, payload in snapshot.payload_items(unit.first_row, unit.first_row + unit.rows):
        if candidates[row - unit.first_row]:
            yield row, payload


# -- comparisons that cannot be meant ----------------------------------------------------------------------------------


def _comparisons(condition: Condition | None) -> Iterator[Between]:
    """Every $gt, $gte, $lt, $lte of a filter."""
    if isinstance(condition, (All, AnyOf)):
        for inner in condition.conditions:
            yield from _comparisons(inner)
    elif isinstance(condition, Not):
        yield from _comparisons(condition.condition)
    elif isinstance(condition, Between):
        yield condition


def _refuse_incomparable_columns(
    snapshot: Snapshot, units: Sequence[RowUnit], condition: Condition | None, numbers: Mapping[str, int]
) -> None:
    for comparison in _comparisons(condition):
        kinds: set[str] = set()
        for unit in units:
            kinds |= snapshot.column(unit, numbers[comparison.field]).kinds()
            if kind_of(comparison.value) in kinds:
                break
        _refuse_kinds(comparison, kinds)


def _refuse_incomparable(condition: Condition | None, watched: Mapping[str, set[type]]) -> None:
    for comparison in _comparisons(condition):
        _refuse_kinds(comparison, {_KINDS_OF_TYPES[t] for t in watched[comparison.field]})


_KINDS_OF_TYPES: dict[type, str] = {
    bool: "bool",
    int: "number",
    float: "number",
    str: "str",
    bytes: "bytes",
    datetime: "datetime",
    type(None): "null",
    list: "list",
    dict: "map",
}


def _refuse_kinds(comparison: Between, kinds: set[str]) -> None:
    """Raise when a field has values, and none that the comparison could ever hold for."""
    kind = kind_of(comparison.value)
    others = kinds - {"null"}
    if others and kind not in others:
        raise InvalidFilterError(
            f"field {comparison.field!r} has values of kind {', '.join(sorted(others))}: {comparison.operator} "
            f"{comparison.value!r} ({kind}) compares with none of them"
        )
