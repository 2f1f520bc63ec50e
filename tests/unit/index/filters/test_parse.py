"""Filters that cannot be meant are refused, by name."""

from __future__ import annotations

from datetime import datetime

import pytest

import pqstore
from tests.unit.index.contents import vectors


@pytest.mark.parametrize(
    ("where", "named"),
    [
        ({"n": {"$regex": "x"}}, r"\$regex"),
        ({"$xor": []}, r"\$xor"),
        ({"nn": 1}, "'nn'"),
        ({"$or": []}, r"\$or"),
        ({"$and": {"n": 1}}, r"\$and"),
        ({"$not": [1]}, "list"),
        ({"n": {}}, "'n'"),
        ({"n": [1]}, r"\$contains"),
        ({"n": {"$in": 3}}, r"\$in"),
        ({"n": {"$exists": 1}}, r"\$exists"),
        ({"n": {"$gt": None}}, "NoneType"),
        ({"n": {"$gt": True}}, "bool"),
        ({"n": {"$gt": "2020"}}, "number"),
        ({"word": {"$lt": 5}}, "str"),
        ({"$not": {"n": {"$lt": "x"}}}, "number"),
        ({"list": {"$lt": 5}}, "list"),
        ({"n": float("nan")}, "nan"),
        ({"n": datetime(2020, 1, 1)}, "'n'"),
        ({5: 1}, "5"),
        ("n = 1", "str"),
    ],
    ids=repr,
)
def test_bad_filters(filled, where, named) -> None:
    for call in (lambda: filled.search(vectors()[0], where=where), lambda: filled.count(where)):
        with pytest.raises(pqstore.InvalidFilterError, match=named):
            call()


def test_deep_filters(filled) -> None:
    where: dict = {"n": 1}
    for _ in range(100):
        where = {"$not": where}
    with pytest.raises(pqstore.InvalidFilterError, match="deeper"):
        filled.count(where)
