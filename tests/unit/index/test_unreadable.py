"""Indexes that earlier versions wrote: with payloads that cannot be read again, and columns that miss values."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgpack
import numpy as np
import pytest

import pqstore
from pqstore.storage.attachments import payload_records
from pqstore.storage.attachments.payload_records import PackedPayloads

BAD = {
    "a list as key": {"n": 5, "grid": {(0, 1): "x"}},
    "a time beyond the calendar": {"n": 5, "when": datetime.max.replace(tzinfo=ZoneInfo("America/New_York"))},
    "no msgpack": b"\xc1",
    "no map": b"\x93\x01\x02\x03",
    "a name without a word": b"\x81\xcd\x0f\xff\x01",
}


def pack_as_before(self: Any, payloads: list[Any]) -> PackedPayloads:
    """Whatever msgpack takes; and what is indexed is what came, not what was packed."""
    parts = []
    for payload in payloads:
        if isinstance(payload, bytes):
            parts.append(payload)
            continue
        for key in payload or ():
            if key not in self._numbers:
                self._give_number(key, 0)
        plain = {self._numbers[key]: value for key, value in (payload or {}).items()}
        parts.append(b"" if payload is None else msgpack.packb(plain, datetime=True, default=lambda v: v.item()))
    return PackedPayloads.of(parts)


@pytest.fixture
def before(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setattr(payload_records.PayloadPacker, "pack_all", pack_as_before)
    return monkeypatch


@pytest.fixture(params=BAD)
def index(request, tmp_path: Path, small_pq: pqstore.PQ, before: pytest.MonkeyPatch) -> Iterator[pqstore.Index]:
    """Ten vectors; the payload of id 5 cannot be read."""
    with pqstore.Index.create(tmp_path / "index", small_pq) as made:
        payloads: list[Any] = [{"n": n, "word": "odd" if n % 2 else "even"} for n in range(10)]
        payloads[5] = BAD[request.param]
        if isinstance(payloads[5], bytes):
            before.setattr("pqstore.storage.transactions.attachment_writes._values", lambda *_: [])
        made.add(np.zeros((10, 8)), payloads=payloads)
        before.undo()
        yield made


def warned() -> Any:
    return pytest.warns(
        pqstore.UnreadablePayloadWarning, match=r"payloads of 1 vectors .* ids 5 \(.*row 5.*merge=False"
    )


def test_no_other_payload_is_taken_along(index: pqstore.Index) -> None:
    assert [record.payload["n"] for record in index.get([4, 6])] == [4, 6]
    assert index.get(5, include=("vector",)).payload is None
    with pytest.raises(pqstore.CorruptIndexError, match="payload of row 5"):
        index.get(5)
    with warned():
        assert [record.payload and record.payload["n"] for record in index.scroll().records] == [
            None if n == 5 else n for n in range(10)
        ]
    with warned():
        hits = index.search(np.zeros(8), k=10, include=("payload",))
    assert sum(payload is None for payload in hits.payloads) == 1


def test_it_counts_as_none_for_filters(index: pqstore.Index) -> None:
    for _ in range(2):  # what is kept of a filter warns again
        for where, count in (({"n": {"$gte": 0}}, 9), ({"word": "odd"}, 4), ({"$not": {"word": "odd"}}, 6)):
            with warned():
                assert index.count(where) == count
    with warned():
        index.create_field_index("word")
    assert index.count({"word": "odd"}) == 4  # its column needs no payloads
    assert index.count({"$not": {"word": "odd"}}) == 6
    index.update_payload(5, {"n": 5, "word": "odd"}, merge=False)
    assert index.count({"word": "odd"}) == 5
    assert index.verify(deep=True) == []


def test_verify_names_it_and_repair_drops_it(index: pqstore.Index, tmp_path: Path) -> None:
    index.compact()
    index.backup(tmp_path / "copy")
    with pqstore.Index.open(tmp_path / "copy") as copy:
        for one in (index, copy):
            problems = one.verify(deep=True)
            assert [problem.invariant for problem in problems] == [18]
            assert "row 5" in problems[0].message
    index.close()
    report = pqstore.Index.repair(index.path, tmp_path / "repaired")
    assert len(report.losses) == 1
    assert "payload" in report.losses[0]
    with pqstore.Index.open(tmp_path / "repaired") as repaired:
        assert [record.payload for record in repaired.get([4, 5])] == [{"n": 4, "word": "even"}, None]
        assert repaired.verify(deep=True) == []


def test_what_is_gone_is_not_read(index: pqstore.Index) -> None:
    index.remove(5)
    assert index.count({"n": {"$gte": 0}}) == 9
    assert len(index.scroll().records) == 9
    index.create_field_index("n")
    assert index.verify(deep=True) == []


def test_it_can_be_replaced_but_not_merged(index: pqstore.Index) -> None:
    with pytest.raises(pqstore.CorruptIndexError, match="payload of row 5"):
        index.update_payload([4, 5], {"n": 1})
    assert index.get(4).payload["n"] == 4
    index.update_payload([4, 5], [{"n": 1}, None])
    assert [record.payload for record in index.get([4, 5])] == [{"n": 1, "word": "even"}, None]


@pytest.mark.parametrize("removed", [False, True])
def test_columns_that_miss_what_numpy_wrote(
    removed: bool, tmp_path: Path, small_pq: pqstore.PQ, before: pytest.MonkeyPatch
) -> None:
    """A whole number of NumPy was packed, and not entered into the index of its field."""
    index = pqstore.Index.create(tmp_path / "index", small_pq, fields=["year"])
    index.add(np.zeros((3, 8)), payloads=[{"year": year} for year in np.array([2020, 2021, 2022])])
    before.undo()
    with pytest.warns(pqstore.FilterKindWarning, match="'year'"):
        assert index.count({"year": 2021}) == 0
    assert [problem.invariant for problem in index.verify(deep=True)] == [21]
    if removed:
        index.remove(0)
    index.compact()
    index.close()
    pqstore.Index.repair(tmp_path / "index", tmp_path / "repaired")
    with pqstore.Index.open(tmp_path / "repaired") as repaired:
        assert repaired.count({"year": 2021}) == 1
        assert repaired.verify(deep=True) == []
