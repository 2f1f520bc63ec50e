"""LlamaIndex's metadata filters as filters of an index, without LlamaIndex."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from pqstore.errors import InvalidFilterError
from pqstore.index.filters import parse
from pqstore.integrations.llama_index_filters import translated


def one(operator: str, value: Any, key: str = "n") -> Any:
    return SimpleNamespace(key=key, operator=SimpleNamespace(value=operator), value=value)


def of(condition: str | None, *filters: Any) -> Any:
    return SimpleNamespace(filters=list(filters), condition=condition)


@pytest.mark.parametrize(
    ("operator", "value", "where"),
    [
        ("==", 1, {"n": {"$eq": 1}}),
        ("!=", 1, {"n": {"$ne": 1}}),
        (">=", 1, {"n": {"$gte": 1}}),
        ("nin", [1], {"n": {"$nin": [1]}}),
        ("any", ["a"], {"n": {"$any": ["a"]}}),
        ("contains", "a", {"n": {"$contains": "a"}}),
        ("text_match_insensitive", "a", {"n": {"$itext": "a"}}),
        ("is_empty", None, {"$or": [{"n": {"$empty": True}}, {"n": ""}]}),
        ("==", None, {"n": {"$in": []}}),
    ],
)
def test_operators(operator: str, value: Any, where: dict) -> None:
    made = translated(of("and", one(operator, value)))
    assert made == {"$and": [where]}
    parse(made)


def test_conditions_nest() -> None:
    a, b = one("==", 1), one("==", 2)
    x, y = {"n": {"$eq": 1}}, {"n": {"$eq": 2}}
    assert translated(of("or", a, of("not", a, b))) == {"$or": [x, {"$not": {"$or": [x, y]}}]}
    assert translated(of(None, a)) == {"$and": [x]}
    parse(translated(of("or", a, of("and"))))


def test_what_is_not_known() -> None:
    for filters in (of("xor", one("==", 1)), of("and", one("near", 1))):
        with pytest.raises(InvalidFilterError, match="unknown"):
            translated(filters)
