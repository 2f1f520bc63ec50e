"""Texts with metadata and ids are checked before they are embedded."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

import pqstore
from pqstore.integrations.text_batch import as_text_batch


def test_none_and_empty_lists_are_filled() -> None:
    assert as_text_batch(iter(["a", "b"]), None, None) == (["a", "b"], [{}, {}], None)
    assert as_text_batch(["a", "b"], [], []) == (["a", "b"], [{}, {}], None)
    assert as_text_batch(["a", "b"], [None, {"n": 1}], ["x", "y"]) == (["a", "b"], [{}, {"n": 1}], ["x", "y"])


def test_missing_ids_are_new() -> None:
    ids = as_text_batch(["a", "b", "c"], None, [None, "x", None]).ids
    assert ids is not None
    assert ids[1] == "x"
    assert uuid.UUID(ids[0]) != uuid.UUID(ids[2])


@pytest.mark.parametrize(
    ("texts", "metadatas", "ids", "told"),
    [
        ("text", None, None, "one str"),
        (["a", 3], None, None, "number 1 is int"),
        (["a", "b"], [{}], None, "2 texts and 1 metadatas"),
        (["a"], None, ["x", "y"], "1 texts and 2 ids"),
        ([], [{}], None, "0 texts and 1 metadatas"),
        (["a"], {"year": 1}, None, "list of dicts, number 0 is 'year'"),  # a dict in place of a list of one
        (["a", "b"], [None, 7], None, "list of dicts, number 1 is 7"),
        (["a", "b"], None, [None, 7], r"ids are str, number 1 is 7 \(int\)"),
    ],
)
def test_what_cannot_be_added(texts: Any, metadatas: Any, ids: Any, told: str) -> None:
    with pytest.raises((TypeError, pqstore.DimensionError, pqstore.InvalidIdError), match=told):
        as_text_batch(texts, metadatas, ids)


def test_parts() -> None:
    batch = as_text_batch(list("abcde"), [{"n": n} for n in range(5)], list("vwxyz"))
    assert list(batch.parts(2)) == [
        (["a", "b"], [{"n": 0}, {"n": 1}], ["v", "w"]),
        (["c", "d"], [{"n": 2}, {"n": 3}], ["x", "y"]),
        (["e"], [{"n": 4}], ["z"]),
    ]
    assert list(batch.parts(None)) == list(batch.parts(5)) == [batch]
    assert list(as_text_batch([], None, None).parts(None)) == []
    with pytest.raises(ValueError, match="batch_size"):
        list(batch.parts(0))
