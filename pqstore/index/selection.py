"""Which rows a search may return: bitmaps, one for each chunk that has any, worked out before the scan."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from pqstore.errors import InvalidFilterError
from pqstore.index.filters import Condition, fields_of, matches, parse, plan
from pqstore.index.filters.columns import evaluate
from pqstore.index.filters.tree import All, AnyOf, Between, Not
from pqstore.index.ids import IdType, as_id_batch
from pqstore.kernels import CodeChunk
from pqstore.storage import FieldColumn, RowUnit, Snapshot, kind_of

__all__ = ["IdSet", "Selection", "live_mask", "select"]

U8 = npt.NDArray[np.uint8]
I64 = npt.NDArray[np.int64]

_MEMO_BYTES = 64 << 20  # bitmaps of past filters kept for one state of the index
_MEMO_ENTRIES = 32
_ONES = np.array([bin(byte).count("1") for byte in range(256)], dtype=np.uint8)


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

    def rows(self) -> I64:
        """The rows, ascending."""
        if self._rows is None:
            found = [_positions(mask) + self.units[at].first_row for at, mask in self.masks.items()]
            self._rows = np.concatenate(found) if found else np.empty(0, dtype=np.int64)
        return self._rows

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
    index are passed over.

    Raises:
        InvalidFilterError: see `pqstore.index.filters.parse`; a field that no payload has, or a comparison with a kind
            of value that the field never has.
        InvalidIdError: `allow` or `deny` are no ids of this index.
    """
    chosen = None if where is None else _by_filter(snapshot, where)
    if allow is None and deny is None:
        return chosen
    if not all(isinstance(ids, (IdSet, type(None))) for ids in (allow, deny)):
        return _combine(snapshot, id_type, chosen, allow, deny)
    key = ("sets", id(chosen), allow, deny)
    known: Selection | None = snapshot.memo.get(key)
    # `chosen` may have made room for another since, and its number be given again: what was combined is kept with it.
    if known is None or known.part_of is not chosen:
        known = _combine(snapshot, id_type, chosen, allow, deny)
        known.part_of = chosen
        _keep(snapshot, key, known)
    return known


def _keep(snapshot: Snapshot, key: tuple[Any, ...], selection: Selection) -> None:
    """Remember a selection for this state of the index, in place of the oldest where there are many."""
    memo = snapshot.memo
    kept = [other for other in memo if isinstance(other, tuple) and other[0] == key[0]]
    if len(kept) >= max(1, min(_MEMO_ENTRIES, _MEMO_BYTES // (1 + snapshot.total_rows // 8))):
        memo.pop(kept[0], None)
    memo[key] = selection


def _combine(snapshot: Snapshot, id_type: IdType, chosen: Selection | None, allow: Any, deny: Any) -> Selection:
    """What a filter leaves (None: all), within the ids to allow and without those to deny; one of them is given."""
    units = _units(snapshot)
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
        masks = dict(chosen.masks) if chosen is not None else {at: live_mask(unit) for at, unit in enumerate(units)}
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


def _units(snapshot: Snapshot) -> Sequence[RowUnit]:
    units: Sequence[RowUnit] | None = snapshot.memo.get("units")
    if units is None:
        units = snapshot.memo["units"] = snapshot.units()
    return units


def _rows_of(snapshot: Snapshot, ids: Any, id_type: IdType) -> I64:
    """Live rows of ids, ascending."""
    if not isinstance(ids, IdSet):
        rows = snapshot.rows_of(as_id_batch(ids, id_type))
        return np.unique(rows[rows >= 0])
    known: I64 | None = snapshot.memo.get(ids)
    if known is None:
        rows = snapshot.rows_of(as_id_batch(list(ids), id_type))
        known = snapshot.memo[ids] = np.unique(rows[rows >= 0])
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
    return sum(int(_ONES[mask].sum(dtype=np.int64)) for mask in masks.values())


# -- filters ---------------------------------------------------------------------------------------------------------


def _by_filter(snapshot: Snapshot, where: Any) -> Selection:
    condition = parse(where)
    # Equal is not the same here: 1, 1.0 and True are three values.
    key = ("where", repr(condition))
    memo = snapshot.memo
    known: Selection | None = memo.get(key)
    if known is not None:
        return known
    _refuse_unknown_fields(snapshot, condition)
    found = _evaluate(snapshot, condition)
    _keep(snapshot, key, found)
    return found


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
    catalog, units = snapshot.catalog, _units(snapshot)
    numbers = {name: number for number, name in enumerate(catalog.fields)}
    halves = plan(condition, frozenset(numbers))
    _refuse_incomparable_columns(snapshot, units, halves.indexed, numbers)
    watched: dict[str, set[type]] = {c.field: set() for c in _comparisons(halves.scanned)}
    masks: dict[int, U8] = {}
    read = 0
    for at, unit in enumerate(units):
        mask = live_mask(unit)
        if halves.indexed is not None:
            mask &= evaluate(halves.indexed, partial(_column, snapshot, unit, numbers), unit.rows)
        if halves.scanned is not None and mask.any():
            mask, count = _scan(snapshot, unit, mask, halves.scanned, watched)
            read += count
        if mask.any():
            masks[at] = mask
    _refuse_incomparable(halves.scanned, watched)
    return Selection(
        units,
        _count(masks),
        masks,
        None,
        tuple(sorted(set(fields_of(halves.indexed)))) if halves.indexed is not None else (),
        tuple(sorted(set(fields_of(halves.scanned)))) if halves.scanned is not None else (),
        read,
    )


def _column(snapshot: Snapshot, unit: RowUnit, numbers: Mapping[str, int], name: str) -> FieldColumn:
    return snapshot.column(unit, numbers[name])


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
