"""How a filter will be answered is told."""

from __future__ import annotations

from tests.unit.index.contents import N, vectors


def test_plan(filled) -> None:
    plan = filled.search(vectors()[0], where={"n": 3, "word": "odd"}, explain=True).plan
    assert (plan.indexed_fields, plan.scanned_fields) == (("n",), ("word",))
    assert plan.allowed_rows == filled.count({"n": 3, "word": "odd"}) > 0
    assert 0 < plan.payloads_read <= N // 20
    assert filled.search(vectors()[0], where={"n": 3}, explain=True).plan.payloads_read == 0
    assert filled.search(vectors()[0], allow=[3], explain=True).plan.method == "gather"
    assert filled.search(vectors()[0], deny=[3], explain=True).plan.method == "masked scan"
    assert filled.search(vectors()[0], allow=[], explain=True).plan.method == "empty"
