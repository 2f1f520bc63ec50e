"""Which value of a payload a name means."""

from __future__ import annotations

import pytest

from pqstore.storage.attachments.field_paths import (
    ABSENT,
    field_name,
    field_numbers,
    field_value,
    stored_field,
    value_at,
)


@pytest.mark.parametrize(
    ("payload", "name", "value"),
    [
        ({"a": 1}, "a", 1),
        ({"a": None}, "a", None),
        ({"a": {"b": 2}}, "a.b", 2),
        ({"a": {"b": {"c": 3}}}, "a.b.c", 3),
        ({"a": {"b": {"c": 3}}}, "a.b", {"c": 3}),
        ({"a.b": 1, "a": {"b": 2}}, "a.b", 1),
        ({"a": {"b.c": 4, "b": {"c": 5}}}, "a.b.c", 4),
        ({"a.b": {"c": 6}}, "a.b.c", 6),
        ({"a.b": {"c": 6}, "a": {"b": {"c": 7}}}, "a.b.c", 7),
        ({"a.b": {"c": 6}, "a": {"b": {"d": 7}}}, "a.b.c", 6),
        ({"a.b": {"c": 6}, "a": 1}, "a.b.c", 6),
        ({"a": {"": {"b": 8}}}, "a..b", 8),
        ({"": {"": 9}}, ".", 9),
        ({"a": [{"b": 1}]}, "a.b", ABSENT),
        ({"a": [{"b": 1}]}, "a.0", ABSENT),
        ({"a": {5: 1}}, "a.5", ABSENT),
        ({"a": "text"}, "a.b", ABSENT),
        ({"b": 1}, "a.b", ABSENT),
        ({}, "", ABSENT),
    ],
)
def test_value_at(payload: dict, name: str, value: object) -> None:
    assert value_at(payload, name) == value
    assert field_value(payload, stored_field(name)) == value


def test_a_column_of_before_paths_knows_keys_only() -> None:
    assert field_value({"a": {"b": 1}}, "a.b") is ABSENT
    assert field_value({"a.b": 1}, "a.b") == 1
    assert field_numbers(["n", "a.b", "$.a.b", "$.c.d"]) == {"n": 0, "a.b": 2, "c.d": 3}
    assert field_numbers(["a.b"]) == {}
    assert [field_name(stored) for stored in ("n", "a.b", "$.a.b")] == ["n", "a.b", "a.b"]
