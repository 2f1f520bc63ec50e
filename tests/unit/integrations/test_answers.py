"""Answers of an index as adapters hand them on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import pqstore
from pqstore.integrations import answers
from pqstore.integrations.answers import all_records, likeness


def test_all_records_come_once_page_after_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "_PAGE", 7)
    with pqstore.Index.create(tmp_path / "a", dim=4, id_type="str") as index:
        assert list(all_records(index, None, "payload")) == []
        vectors = np.arange(84, dtype=np.float32).reshape(21, 4)
        index.add(vectors, [f"n{n}" for n in range(21)], payloads=[{"n": n} for n in range(21)])
        found = list(all_records(index, None, ("payload", "vector")))
        assert sorted(record.payload["n"] for record in found) == list(range(21))
        assert all(record.vector[0] == 4 * record.payload["n"] for record in found)
        some = all_records(index, {"n": {"$gte": 5}}, ())
        assert {record.id for record in some} == {f"n{n}" for n in range(5, 21)}


def test_likeness_is_more_where_it_is_nearer() -> None:
    assert likeness("cosine", 0.25) == 0.25
    assert likeness("dot", -3.0) == -3.0
    assert likeness("l2", 0.0) == 1.0
    assert likeness("l2", 3.0) == 0.25
