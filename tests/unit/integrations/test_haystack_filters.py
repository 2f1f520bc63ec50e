"""Haystack's filters as filters of an index."""

from __future__ import annotations

from typing import Any

import pytest

from pqstore.errors import InvalidFilterError
from pqstore.integrations.haystack_filters import translated


def compare(operator: str, value: Any, field: str = "meta.n") -> dict:
    return {"field": field, "operator": operator, "value": value}


@pytest.mark.parametrize(
    ("filters", "where"),
    [
        (compare("==", "a"), {"meta.n": "a"}),
        (compare("==", "a", "n"), {"meta.n": "a"}),
        (compare("==", "a", "content"), {"content": "a"}),
        (compare("==", 3), {"meta.n": {"$in": [3]}}),
        (compare("!=", "a"), {"$not": {"meta.n": "a"}}),
        (compare(">=", 3), {"meta.n": {"$gte": 3}}),
        (compare("in", ["a", "b"]), {"$or": [{"meta.n": "a"}, {"meta.n": "b"}]}),
        ({"operator": "NOT", "conditions": [compare("==", "a")]}, {"$not": {"$and": [{"meta.n": "a"}]}}),
    ],
    ids=range(8),
)
def test_what_means_the_same_is_exact(filters: dict, where: dict) -> None:
    assert translated(filters) == (where, True)


@pytest.mark.parametrize(
    "filters",
    [
        compare("==", "2024-01-01"),
        compare("!=", "2024-01-01"),
        compare("==", [1]),
        compare("in", ["a", "2024-01-01"]),
        compare("<", "2024-01-01"),
        compare("<", "no date"),
        compare("==", float("nan")),
        {"operator": "NOT", "conditions": [compare("<", "2024-01-01")]},
    ],
    ids=range(8),
)
def test_what_may_mean_more_is_not(filters: dict) -> None:
    assert not translated(filters).is_exact
    for operator in ("AND", "OR", "NOT"):
        assert not translated({"operator": operator, "conditions": [compare("==", "a"), filters]}).is_exact


@pytest.mark.parametrize(
    "filters",
    [
        "n == 1",
        {"operator": "AND"},
        {"conditions": []},
        {"operator": "XOR", "conditions": []},
        {"field": "n", "operator": "=="},
        {"field": "n", "value": 1},
        compare("like", "a"),
        compare("in", "a"),
        compare("not in", (1,)),
        compare(">", [1]),
    ],
    ids=range(10),
)
def test_what_is_no_filter(filters: Any) -> None:
    with pytest.raises(InvalidFilterError):
        translated(filters)
