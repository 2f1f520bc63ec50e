"""Values of rows out of columns: those that a walk over all values finds."""

from __future__ import annotations

import numpy as np
import pytest

from pqstore.errors import CorruptIndexError
from pqstore.storage import FieldColumn, Wanted, distinct_values, kind_of, positions_of, values_at
from pqstore.storage.attachments.field_entries import FieldEntries

VALUES = ["de", "en", "x" * 40, 7, 7.0, -0.0, 0, 2**63, 1e300, True, False, None, b"raw", ["de"], [], {"a": 1}, ...]


def column_of(values: list) -> FieldColumn:
    """One value a row; `...` for a row without the field."""
    entries = FieldEntries()
    for row, value in enumerate(values):
        if value is not ...:
            entries.add(row, value)
    return FieldColumn(memoryview(entries.pack(len(values))), len(values), "a column")


def made(seed: int) -> list:
    """Values that few rows have, that runs of rows have, and that every other row has: lists, runs and bitmaps."""
    rng = np.random.default_rng(seed)
    values: list = [f"rare {n}" for n in range(300)]
    while len(values) < 3000:
        one, other = (VALUES[at] for at in rng.integers(0, len(VALUES), 2))
        values += [one] * int(rng.integers(1, 200)) + [one, other] * int(rng.integers(1, 100))
    return [*values, float("nan")]


@pytest.mark.parametrize("seed", range(3))
def test_each_way(seed: int) -> None:
    values = made(seed)
    column = column_of(values)
    wanted = [None if v is ... or kind_of(v) is None else (kind_of(v), v) for v in values]
    assert {container for group in column.groups.values() for container in group.dense[:, 1].tolist()} == {1, 2}
    positions = np.random.default_rng(seed).permutation(len(values))[:2000]
    assert values_at(column, positions) == [wanted[position] for position in positions.tolist()]
    assert values_at(column, np.arange(len(values))) == wanted
    for value in {v for v in wanted if v is not None}:
        found = positions_of(column, Wanted([value[1]]))
        assert sorted(found.tolist()) == [row for row, other in enumerate(wanted) if other == value]
    assert distinct_values(column) == len({(type(v[1]), v[1]) for v in wanted if v is not None})


def test_nothing() -> None:
    column = column_of([..., [], {}])
    assert values_at(column, np.arange(3)) == [None] * 3
    assert distinct_values(column) == 0
    assert len(positions_of(column, Wanted([1, "a"]))) == 0
    assert values_at(column, np.arange(0)) == []


def test_more_values_than_a_byte_counts() -> None:
    for count in (254, 255, 256, 65535, 65536):
        values = list(range(count))
        assert values_at(column_of(values), np.array([0, count - 1])) == [("number", 0), ("number", count - 1)]


@pytest.mark.parametrize("blob", [[255, 255, 255, 255], [0, 0, 0]], ids=["beyond", "cut"])
def test_runs_that_cannot_be_are_refused(blob: list[int]) -> None:
    column = column_of(["same"] * 64)
    for group in column.groups.values():
        group.blob = np.array(blob, dtype=np.uint8)
    with pytest.raises(CorruptIndexError, match="a column"):
        values_at(column, np.arange(3))
    with pytest.raises(CorruptIndexError, match="a column"):
        positions_of(column, Wanted(["same"]))
