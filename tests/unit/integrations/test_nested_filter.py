"""A filter on metadata finds, in payloads that keep it under a key, what it would find in the metadata itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import pqstore
from pqstore.integrations.nested_filter import under

METADATA: list[dict[str, Any]] = [
    {},
    {"year": 1990, "lang": "de"},
    {"year": 2020, "lang": "en", "tags": ["a", "b"]},
    {"year": 2021, "by": {"name": "Ada"}, "m": {"year": 7}},
    {"by.name": "Ada", "lang": None},
    {"year": "2020", "text": "red"},
]
FILTERS: list[dict[str, Any]] = [
    {"year": 2020},
    {"year": {"$gte": 1990, "$lt": 2021}},
    {"lang": {"$exists": False}},
    {"lang": {"$ne": "de"}, "year": {"$not": {"$eq": 2021}}},
    {"tags": {"$contains": "a"}},
    {"by.name": "Ada"},
    {"m.year": 7},
    {"text": "red"},
    {"$or": [{"year": 1990}, {"$and": [{"by.name": "Ada"}, {"$not": {"year": 2021}}]}]},
    {"$not": {"$or": ({"lang": "de"}, {"lang": "en"})}},
    {},
]


@pytest.mark.parametrize("where", FILTERS, ids=str)
@pytest.mark.filterwarnings("ignore::pqstore.FilterKindWarning")
def test_finds_the_same(where: dict[str, Any], tmp_path) -> None:
    vectors = np.eye(len(METADATA), 8, dtype=np.float32)
    plain = pqstore.Index.create(tmp_path / "plain", dim=8)
    nested = pqstore.Index.create(tmp_path / "nested", dim=8, fields=["m.lang"])
    with plain, nested:
        plain.add(vectors, payloads=METADATA)
        nested.add(vectors, payloads=[{"text": "red", "m": metadata} for metadata in METADATA])
        expected = [record.id for record in plain.scroll(where).records]
        assert [record.id for record in nested.scroll(under("m", where)).records] == expected


@pytest.mark.parametrize(
    "where", ["year", [1], {"$nor": [{"a": 1}]}, {"$or": {"a": 1}}, {"$and": []}, {3: 4}, {"a": {"$near": 1}}], ids=str
)
def test_what_is_no_filter_is_refused_by_the_index(where: Any, tmp_path) -> None:
    with pqstore.Index.create(tmp_path / "index", dim=8) as index, pytest.raises(pqstore.InvalidFilterError):
        index.count(under("m", where))
