"""Columns of ids: consecutive ones stay a range when they are joined, and only these."""

from __future__ import annotations

import numpy as np
import pytest

from pqstore.storage.format import records
from pqstore.storage.rows.id_columns import IdCodec, IntColumn, RangeColumn


@pytest.mark.parametrize(
    ("columns", "ids", "encoding"),
    [
        ([RangeColumn(-2, 2), RangeColumn(0, 1), RangeColumn(1, 3)], [-2, -1, 0, 1, 2, 3], records.IDS_RANGE),
        ([RangeColumn(5, 2), RangeColumn(8, 2)], [5, 6, 8, 9], records.IDS_INT64),
        ([RangeColumn(5, 2), RangeColumn(5, 2)], [5, 6, 5, 6], records.IDS_INT64),
        ([RangeColumn(5, 2), IntColumn(np.array([7]))], [5, 6, 7], records.IDS_RANGE),
        ([RangeColumn(5, 2), IntColumn(np.array([9]))], [5, 6, 9], records.IDS_INT64),
        ([], [], records.IDS_INT64),
    ],
)
def test_joined_columns(columns: list[RangeColumn | IntColumn], ids: list[int], encoding: int) -> None:
    joined = IdCodec("int64", b"key").concat(columns)
    assert joined.user().tolist() == ids
    assert len(joined) == len(ids)
    assert joined.encode(tail=False)[0] == encoding
