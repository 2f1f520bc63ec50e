"""Columns of fields: compiled and plain loops find the rows that a walk over all values finds."""

from __future__ import annotations

import numpy as np
import pytest

from pqstore.errors import CorruptIndexError
from pqstore.native import native_loops
from pqstore.storage import Bound, FieldColumn, Wanted, kind_of
from pqstore.storage.attachments import column_groups
from pqstore.storage.attachments.field_entries import FieldEntries

ROWS = 5000


@pytest.fixture(params=["compiled", "plain"], autouse=True)
def loops(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "plain":
        monkeypatch.setattr(column_groups, "native_loops", lambda: None)
    elif native_loops() is None:
        pytest.skip("there is no compiled module")


def column_of(values: list) -> FieldColumn:
    """One value a row; `...` for a row without the field."""
    entries = FieldEntries()
    for row, value in enumerate(values):
        if value is not ...:
            entries.add(row, value)
    return FieldColumn(memoryview(entries.pack(len(values))), len(values), "a column")


def rows_of(mask: np.ndarray) -> list[int]:
    return np.flatnonzero(np.unpackbits(mask, count=ROWS, bitorder="little")).tolist()


def many_kinds(rng: np.random.Generator) -> list:
    """Values that few rows have, that every other row has, and that runs of rows have."""
    values: list = []
    while len(values) < ROWS:
        kind = int(rng.integers(0, 8))
        if kind < 3:
            values += [int(rng.integers(-50, 2000)), float(rng.integers(0, 40)) / 2, ...]
        elif kind == 3:
            values += [int(rng.integers(0, 3))] * int(rng.integers(1, 400))
        elif kind == 4:
            values += ["de", "en"] * int(rng.integers(1, 200))
        elif kind == 5:
            values += ["w" * int(rng.integers(1, 9)), b"raw", None, True, False]
        elif kind == 6:
            values += [2**63, 2**64 - 1, -(2**63), 2**53 + 1, float(2**53), float("nan"), 1e300, float("inf")]
        else:
            values += [["x", 1], [], [1.0, "y"], {"a": 1}]
    return values[:ROWS]


@pytest.mark.parametrize("seed", range(3))
def test_look_ups(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = many_kinds(rng)
    column = column_of(values)
    assert rows_of(column.present()) == [row for row, value in enumerate(values) if value is not ...]
    wanted = [1, 2.0, 0.5, "de", "wwww", b"raw", None, True, 2**53 + 1, float(2**53), 2**63, 1e300, "no", -7, 10**400]
    for some in ([value] for value in wanted), [wanted], [[]]:
        for chosen in some:
            found = rows_of(column.equal(Wanted(chosen)))
            assert found == [row for row, value in enumerate(values) if any(same(value, other) for other in chosen)]
            found = rows_of(column.equal(Wanted(chosen), members=True))
            assert found == [
                row
                for row, value in enumerate(values)
                if isinstance(value, list) and any(same(member, other) for member in value for other in chosen)
            ]


def same(value: object, other: object) -> bool:
    return kind_of(value) is not None and kind_of(value) == kind_of(other) and value == other


@pytest.mark.parametrize("seed", range(3))
def test_ranges(seed: int) -> None:
    rng = np.random.default_rng(10 + seed)
    values = many_kinds(rng)
    column = column_of(values)
    for low, high in [
        (0, 1990),
        (3, 3),
        (10, 5),
        (-1.5, 2.5),
        (None, 7),
        (1, None),
        ("a", "e"),
        (2**53, 2**63),
        (b"", None),
    ]:
        for inclusive in (True, False):
            lower = None if low is None else Bound(low, inclusive)
            upper = None if high is None else Bound(high, inclusive)
            expected = [
                row
                for row, value in enumerate(values)
                if kind_of(value) == kind_of(high if low is None else low)
                and (low is None or value > low or (inclusive and value == low))
                and (high is None or value < high or (inclusive and value == high))
            ]
            assert rows_of(column.between(lower, upper)) == expected, (low, high, inclusive)


def test_marks_are_added_to_a_mask() -> None:
    column = column_of([row % 7 for row in range(ROWS)])
    mask = np.zeros(ROWS // 8 + 3, dtype=np.uint8)[: ROWS // 8]
    mask[0] = 0b10
    column.equal(Wanted([0]), mask)
    assert rows_of(mask) == sorted({1, *range(0, ROWS, 7)})


def test_sets_that_do_not_fit_are_named() -> None:
    """Bitmaps and runs are looked into when they are used: a damaged one is an error, not memory of others."""
    values = [7] * 3000 + [8, 9] * 1000
    content = FieldEntries()
    for row, value in enumerate(values):
        content.add(row, value)
    packed = content.pack(ROWS)
    column = FieldColumn(memoryview(packed), ROWS, "a column")
    for first, last in ((8, 8), (7, 7)):
        group = next(group for tag, group in column.groups.items() if len(group.values) == 3)
        good = group.dense.copy()
        for wrong in ((0, 1, 0, 2**31), (0, 2, 0, 3), (0, 1, 9, 5)):
            group.dense = good.copy()
            group.dense[:, 2:] = wrong[2:]
            if wrong[1] == 2:
                group.dense[:, 1] = 2
            with pytest.raises(CorruptIndexError, match="a column"):
                column.between(Bound(first, True), Bound(last, True))
        group.dense = good
    short = np.zeros(ROWS // 8 - 1, dtype=np.uint8)
    with pytest.raises(CorruptIndexError, match="a column"):
        column.equal(Wanted([7, 8, 9]), short)
