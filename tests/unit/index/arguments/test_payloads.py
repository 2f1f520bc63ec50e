"""Payloads come back as they went; what cannot be stored is refused."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import numpy as np
import pytest

import pqstore
from pqstore.storage.attachments import payload_records
from tests.unit.index.contents import vectors


def test_payload_values_come_back(empty) -> None:
    moment = datetime(1815, 12, 10, 3, 4, 5, 123457, tzinfo=timezone(timedelta(hours=2)))
    given = {
        "map": {"inner": [1, -1.5, "ü", None, True, b"\x00"], "2": {}},
        "limits": [2**64 - 1, -(2**63), 1e308],
        "moment": moment,
        "numpy": [np.int32(4), np.float32(0.5), np.bool_(True)],
        "": "empty key",
    }
    empty.add(vectors()[:3], payloads=[given, {}, None])
    got = empty.get(0, include="payload").payload
    assert got == {**given, "numpy": [4, 0.5, True]}
    assert [record.payload for record in empty.get([1, 2])] == [{}, None]
    assert empty.count({"moment": {"$lt": moment + timedelta(microseconds=1), "$gte": moment}}) == 1


@pytest.mark.parametrize(
    "bad",
    [
        {"x": object()},
        {"x": 2**64},
        {"x": datetime(2020, 1, 1)},
        {1: "key"},
        {"x": "\ud800"},
        {"\ud800": 1},
        ["list"],
        "text",
        5,
        {"x": {1, 2}},
        {"x": 1j},
    ],
    ids=range(11),  # an address in a name differs from process to process
)
def test_payloads_that_cannot_be_stored(empty, bad) -> None:
    with pytest.raises(pqstore.InvalidPayloadError, match="payload 1"):
        empty.add(vectors()[:2], payloads=[{"ok": 1}, bad])
    assert len(empty) == 0
    assert empty.add(vectors()[:1], payloads=[{"ok": 1}]).tolist() == [0]


def test_a_payload_that_is_too_large(empty, monkeypatch) -> None:
    monkeypatch.setattr(payload_records, "MAX_PAYLOAD_BYTES", 100)
    with pytest.raises(pqstore.InvalidPayloadError, match="100 at most"):
        empty.add(vectors()[:1], payloads=[{"x": "y" * 100}])


@pytest.mark.parametrize("payloads", [[], [{}], [{}] * 3, iter([{}]), iter([{}] * 3)], ids=range(5))
def test_payload_counts(empty, payloads) -> None:
    with pytest.raises(pqstore.DimensionError, match="payloads"):
        empty.add(vectors()[:2], payloads=payloads)
    assert len(empty) == 0
