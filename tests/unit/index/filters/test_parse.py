"""Filters that cannot be meant are refused, by name."""

from __future__ import annotations

import enum
from datetime import date, datetime, timezone
from decimal import Decimal

import numpy as np
import pytest

import pqstore
from pqstore.index.filters.parse import parse
from pqstore.index.filters.tree import OneOf
from tests.unit.index.contents import vectors


@pytest.mark.parametrize(
    ("where", "named"),
    [
        ({"n": {"$regex": "x"}}, r"\$regex"),
        ({"$xor": []}, r"\$xor"),
        ({"$or": []}, r"\$or"),
        ({"$and": {"n": 1}}, r"\$and"),
        ({"$not": [1]}, "list"),
        ({"n": {}}, "'n'"),
        ({"n": [1]}, r"\$contains"),
        ({"n": {"$in": 3}}, r"\$in"),
        ({"n": {"$exists": 1}}, r"\$exists"),
        ({"n": {"$gt": None}}, "NoneType"),
        ({"n": {"$gt": True}}, "bool"),
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


class Year(enum.IntEnum):
    LAST = 39


@pytest.mark.parametrize(
    "several",
    [
        lambda values: values,
        tuple,
        set,
        frozenset,
        iter,
        np.array,
        lambda values: (value for value in values),
        lambda values: dict.fromkeys(values).keys(),
        lambda values: np.array(values, dtype=object),
        lambda values: map(np.float64, values),
    ],
    ids=range(10),
)
def test_in_takes_what_can_be_gone_through(filled, several) -> None:
    wanted = [3, 4, 999]
    assert filled.count({"n": {"$in": several(wanted)}}) == filled.count({"$or": [{"n": 3}, {"n": 4}]})
    assert filled.count({"n": {"$nin": several(wanted)}}) == len(filled) - filled.count({"n": {"$in": wanted}})
    assert filled.count({"list": {"$contains": several([1, 2])}}) == 0
    with pytest.warns(pqstore.FilterKindWarning, match="list of"):
        assert filled.count({"list": {"$in": several([1])}}) == 0


def test_members_are_looked_up_not_gone_through() -> None:
    """4,000 rows by 1,000 values took 2.5 s."""
    condition = parse({"n": {"$in": range(1000)}})
    assert isinstance(condition, OneOf)
    assert isinstance(condition.keys, frozenset)
    assert len(condition.keys) == 1000


@pytest.mark.parametrize("no_list", ["abc", b"abc", bytearray(b"a"), {"a": 1}, np.array(3), 3, None], ids=repr)
def test_in_takes_no_text_and_no_map(filled, no_list) -> None:
    with pytest.raises(pqstore.InvalidFilterError, match=r"\$in takes a list"):
        filled.count({"n": {"$in": no_list}})


def test_values_are_made_plain_as_those_of_payloads_are(filled) -> None:
    for value in (Year.LAST, np.int8(39), np.float16(39), np.longdouble(39), 39.0):
        for where in ({"n": value}, {"n": {"$in": [value]}}, {"n": {"$gte": value}}):
            assert filled.count(where) == filled.count({"n": 39}) > 0
    assert filled.count({"word": np.str_("odd")}) == filled.count({"word": "odd"})
    assert filled.count({"n": {"$lt": 10**400}}) == filled.count({"n": {"$exists": True}})
    assert filled.count({"n": 10**400}) == 0


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (np.datetime64("NaT"), "no time"),
        (np.datetime64("2024-01-01T00:00:00.000000001"), "finer than a microsecond"),
        (datetime(2024, 1, 1), "without a time zone"),
        (date(2024, 1, 1), "a date"),
        ("\ud800", "not valid Unicode"),
        (np.arange(2), "an array"),
        (Decimal(1), "of type Decimal"),
    ],
    ids=repr,
)
def test_values_that_nothing_stored_could_equal(filled, value, why) -> None:
    for where in ({"n": value}, {"n": {"$in": [value]}}, {"n": {"$gt": value}}, {"word": {"$ne": value}}):
        with pytest.raises(pqstore.InvalidFilterError, match=f"cannot compare with .*: it is .*{why}|it is {why}"):
            filled.count(where)


@pytest.mark.parametrize("fields", [(), ("when",)])
def test_times_of_numpy_are_moments_in_utc(tmp_path, small_pq, fields) -> None:
    with pqstore.Index.create(tmp_path / "index", small_pq, fields=fields) as index:
        days = np.arange("2024-01-01", "2024-01-11", dtype="datetime64[D]").astype("datetime64[ns]")
        index.add(np.zeros((10, 8)), payloads=[{"when": day} for day in days])
        moment = datetime(2024, 1, 5, tzinfo=timezone.utc)
        assert index.get(4).payload == {"when": moment}
        for unit in ("ns", "us", "s", "D"):
            assert index.count({"when": days[4].astype(f"datetime64[{unit}]")}) == 1
            assert index.count({"when": {"$lt": days[4].astype(f"datetime64[{unit}]")}}) == 4
        assert index.count({"when": {"$in": days[2:4]}}) == 2
        assert index.count({"when": moment}) == 1
