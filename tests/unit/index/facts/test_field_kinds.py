"""Kinds of the values of all fields, from columns and from payloads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import pqstore
from tests.unit.index.facts.oracle import kinds_of


def test_all_fields(facts) -> None:
    index, payloads = facts
    assert index.field_kinds() == kinds_of(list(payloads.values()))
    some = [p for p in payloads.values() if p is not None and p["n"] == 3]
    assert index.field_kinds({"n": 3}) == kinds_of(some)


def test_a_field_that_is_gone_is_left_out(tmp_path: Path) -> None:
    with pqstore.Index.create(tmp_path / "index", dim=4, fields=["a", "m.x"]) as index:
        index.add(np.zeros((3, 4)), payloads=[{"a": 1}, {"m": {"x": "t"}}, {"b": []}])
        assert index.field_kinds() == {"a": ("number",), "b": ("other",), "m": ("other",), "m.x": ("str",)}
        index.remove([0, 1])
        assert index.field_kinds() == {"b": ("other",)}


def test_a_twin_for_loops(tmp_path: Path) -> None:
    import asyncio

    with pqstore.Index.create(tmp_path / "index", dim=4) as index:
        index.add(np.zeros((1, 4)), payloads=[{"a": 1}])
        assert asyncio.run(index.afield_kinds()) == {"a": ("number",)}
        assert asyncio.run(index.afield_range("a")) == (1, 1)
        assert asyncio.run(index.afield_values("a")).values == [(1, 1)]
        with pytest.raises(pqstore.InvalidFilterError):
            asyncio.run(index.afield_kinds({"a": {"$near": 1}}))
