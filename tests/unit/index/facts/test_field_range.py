"""The lowest and the highest value, from columns and from payloads."""

from __future__ import annotations

import pytest

from tests.unit.index.facts.oracle import NAMES, rank, values_of


@pytest.mark.parametrize("where", [None, {"n": {"$lt": 30}}])
@pytest.mark.parametrize("field", ["mixed", "n", "word", "tags"])
@pytest.mark.parametrize("kind", ["number", "str", "bytes", "datetime"])
def test_range_of_a_kind(facts, field: str, kind: str, where) -> None:
    index, payloads = facts
    some = [p for p in payloads.values() if where is None or (p is not None and p["n"] < 30)]
    values = [value for value, _ in values_of(some, field) if NAMES[rank(value)] == kind]
    wanted = (values[0], values[-1]) if values else (None, None)
    assert index.field_range(field, where, kind=kind) == wanted


def test_the_only_kind_need_not_be_said(facts) -> None:
    index, _ = facts
    low, high = index.field_range("n")
    assert (low, high) == index.field_range("n", kind="number")
    assert index.field_range("tags") == ("t0", "t4")
    assert index.field_range("unheard") == (None, None)
    assert index.field_range("n", {"word": "none"}) == (None, None)


def test_what_cannot_be_meant(facts) -> None:
    index, _ = facts
    with pytest.raises(ValueError, match="'mixed' has values of the kinds number, str, bytes, datetime"):
        index.field_range("mixed")
    with pytest.raises(ValueError, match="kind must be"):
        index.field_range("n", kind="bool")
