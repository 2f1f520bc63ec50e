"""Distinct values with counts, from columns and from payloads, equal a count over all payloads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import pqstore
from tests.unit.index.facts.oracle import values_of

FIELDS = ["mixed", "n", "word", "tags", "rare", "unheard"]


def typed(pairs: list) -> list:
    """1 and 1.0 are one value; True is another."""
    return [(isinstance(value, bool), value, rows) for value, rows in pairs]


@pytest.mark.parametrize("field", FIELDS)
def test_all_values(facts, field: str) -> None:
    index, payloads = facts
    found = index.field_values(field, limit=1000)
    assert typed(found.values) == typed(values_of(list(payloads.values()), field))
    assert found.after is None


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 33])
@pytest.mark.parametrize("field", ["mixed", "word", "tags"])
def test_pages_are_the_whole(facts, field: str, limit: int) -> None:
    index, payloads = facts
    got, after = [], None
    while True:
        page = index.field_values(field, limit=limit, after=after)
        got += page.values
        assert len(page.values) == limit or page.after is None
        if page.after is None:
            break
        after = page.after
    assert typed(got) == typed(values_of(list(payloads.values()), field))


def test_of_what_a_filter_finds(facts) -> None:
    index, payloads = facts
    some = [p for p in payloads.values() if p is not None and p["n"] < 20]
    for field in FIELDS:
        assert typed(index.field_values(field, {"n": {"$lt": 20}}, limit=1000).values) == typed(values_of(some, field))
    assert index.field_values("word", {"n": -1}) == ([], None)


@pytest.mark.parametrize("prefix", ["", "w", "w0", "w01", "w019", "w02x", "a", "ä", "\uffff", "t1"])
def test_prefix(facts, prefix: str) -> None:
    index, payloads = facts
    for field in ("mixed", "word", "tags"):
        pairs = values_of(list(payloads.values()), field)
        wanted = [(v, n) for v, n in pairs if isinstance(v, str) and v.startswith(prefix)]
        assert index.field_values(field, prefix=prefix, limit=1000).values == wanted
        got = []
        page = index.field_values(field, prefix=prefix, limit=2)
        while True:
            got += page.values
            if page.after is None:
                break
            page = index.field_values(field, prefix=prefix, limit=2, after=page.after)
        assert got == wanted


def test_after_any_value(facts) -> None:
    index, payloads = facts
    pairs = [v for v, _ in values_of(list(payloads.values()), "word")]
    assert [v for v, _ in index.field_values("word", after="w05", limit=999).values] == [v for v in pairs if v > "w05"]
    assert index.field_values("word", after=5, limit=999).values[0].value == pairs[0]
    assert index.field_values("word", after=b"", limit=999).values == []
    assert index.field_values("word", prefix="w05", after="a", limit=999) == index.field_values(
        "word", prefix="w05", limit=999
    )


def test_a_snapshot_says_what_was(tmp_path: Path) -> None:
    with pqstore.Index.create(tmp_path / "index", dim=4, fields=["f"]) as index:
        index.add(np.zeros((2, 4)), payloads=[{"f": "x"}, {"f": "y"}])
        with index.snapshot() as view:
            index.remove(0)
            assert view.field_values("f").values == [("x", 1), ("y", 1)]
        assert index.field_values("f").values == [("y", 1)]


def test_what_cannot_be_meant(facts) -> None:
    index, _ = facts
    for bad in (
        lambda: index.field_values("$n"),
        lambda: index.field_values("n", limit=0),
        lambda: index.field_values("n", after=[1]),
        lambda: index.field_values("n", after=float("nan")),
    ):
        with pytest.raises(ValueError, match=r"field|limit|after"):
            bad()
    for bad in (lambda: index.field_values(7), lambda: index.field_values("n", prefix=7)):
        with pytest.raises(TypeError):
            bad()


def test_no_payload_is_read_of_an_indexed_field(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pqstore.index.facts.wanted_rows import WantedRows

    with pqstore.Index.create(tmp_path / "index", dim=4, fields=["f"]) as index:
        index.add(np.zeros((3, 4)), payloads=[{"f": "x"}, {"f": ["y"]}, None])
        monkeypatch.setattr(WantedRows, "payloads", lambda self: pytest.fail("payloads were read"))
        assert index.field_values("f").values == [("x", 1), ("y", 1)]
        assert index.field_range("f") == ("x", "y")
        assert index.field_kinds() == {"f": ("list of str", "str")}
