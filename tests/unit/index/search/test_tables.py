"""Hits as tables of other libraries."""

from __future__ import annotations

import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pqstore

X = np.eye(4, dtype=np.float32)
WHEN = datetime(2024, 1, 1, tzinfo=timezone.utc)
PAYLOADS = [
    {"n": 1, "text": "<a & b>", "tags": ["x"], "mixed": 1, "map": {"a": 1}, "when": WHEN, "id": "mine", "f": 1},
    {"n": 2, "text": "c", "tags": [], "mixed": "two", "big": 2**64 - 1, "f": 0.5},
    None,
    {"raw": b"\x00", "odd": [1, "a"]},
]


@pytest.fixture(params=["int64", "str"])
def hits(tmp_path: Path, request: pytest.FixtureRequest) -> Any:
    with pqstore.Index.create(tmp_path / "index", dim=4, id_type=request.param) as index:
        index.add(X, [f"i{n}" for n in range(4)] if request.param == "str" else None, payloads=PAYLOADS)
        yield index.search(X[0] * 3, k=6, include=("payload", "vector")), index.search(X, k=3), index


def rows(hits: Any) -> list[dict]:
    return hits.to_dicts() if hits.ids.ndim == 1 else [hit for query in hits.to_dicts() for hit in query]


@pytest.mark.parametrize("library", ["pyarrow", "pandas", "polars"])
def test_columns(hits: Any, library: str) -> None:
    pytest.importorskip(library)
    one, several, _ = hits
    for result in (one, several):
        table = {"pyarrow": result.to_arrow, "pandas": result.to_pandas, "polars": result.to_polars}[library]()
        if library == "pandas":
            columns = {name: table[name].tolist() for name in table.columns}
        else:
            columns = table.to_pydict() if library == "pyarrow" else {c.name: c.to_list() for c in table}
        wanted = rows(result)
        assert columns["id"] == [hit["id"] for hit in wanted]
        assert columns["distance"] == [hit["distance"] for hit in wanted]
        if result is several:
            assert columns["query"] == [q for q in range(4) for _ in range(3)]
            continue
        assert [list(vector) for vector in columns["vector"]] == [hit["vector"].tolist() for hit in wanted]
        assert columns["payload.id"][0] == "mine"
        assert columns["mixed"][:2] == ["1", '"two"']
        assert columns["map"][0] == '{"a": 1}'
        assert columns["f"][:2] == [1.0, 0.5]
        assert columns["big"][1] == str(2**64 - 1)
        assert columns["text"][0] == "<a & b>"
        assert list(columns["tags"][0]) == ["x"]
        assert columns["when"][0] == WHEN


def test_no_hits(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    with pqstore.Index.create(tmp_path / "index", dim=4) as index:
        for result in (index.search(X, k=3), index.search(X[0], include=("payload", "vector"))):
            assert result.to_arrow().num_rows == 0
            assert "<table>" in result._repr_html_()


def test_streams(hits: Any) -> None:
    arrow = pytest.importorskip("pyarrow")
    one, _, _ = hits
    assert arrow.RecordBatchReader.from_stream(one).read_all().equals(one.to_arrow())


def test_notebooks(hits: Any) -> None:
    one, several, index = hits
    text = one._repr_html_()
    assert "&lt;a &amp; b&gt;" in text
    assert "<a & b>" not in text
    assert text.count("<tr>") == 1 + len(rows(one))
    assert several._repr_html_().count("<tr>") == 13
    many = index.search(np.tile(X, (6, 1)), k=3)._repr_html_()
    assert many.count("<tr>") == 41
    assert "and 32 more" in many


def test_a_library_that_is_not_there(hits: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("pyarrow", "pandas", "polars"):
        monkeypatch.setitem(sys.modules, name, None)
    for make, name in ((hits[0].to_arrow, "pyarrow"), (hits[0].to_pandas, "pandas"), (hits[0].to_polars, "polars")):
        with pytest.raises(pqstore.MissingDependencyError, match=name):
            make()
