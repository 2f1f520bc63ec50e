"""A comparison with a kind of value that the field never has finds nothing and says so, with an index and without."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import pytest

import pqstore

MOMENT = datetime(2024, 1, 1, tzinfo=timezone.utc)
PAYLOADS = [
    {
        "year": 2000 + n,
        "flag": n % 2 == 0,
        "tags": ["a", "b"] if n % 2 else [],
        "url": "https://a.org",
        "when": MOMENT,
        "raw": b"x",
        "null": None,
        "map": {"n": n},
        "nan": math.nan,
        "empty": [],
        "mixed": "text" if n % 2 else n,
    }
    for n in range(20)
]
FIELDS = (*PAYLOADS[0], "map.n")


@pytest.fixture(scope="module", params=[True, False], ids=["indexed", "scanned"])
def index(request, tmp_path_factory: pytest.TempPathFactory, small_pq: pqstore.PQ) -> Iterator[pqstore.Index]:
    fields = FIELDS if request.param else ()
    with pqstore.Index.create(tmp_path_factory.mktemp("kinds") / "index", small_pq, fields=fields) as made:
        made.add(np.zeros((21, 8), dtype=np.float32), payloads=[*PAYLOADS, None])
        yield made


NOTHING = [
    ({"year": "2020"}, r"'year' has values of kind number: comparing it with '2020' \(str\) finds nothing"),
    ({"year": {"$in": ["2020", "2021"]}}, "'year'"),
    ({"year": True}, r"True \(bool\)"),
    ({"flag": 1}, r"kind bool: .* 1 \(number\)"),
    ({"year": {"$gt": "2020"}}, "'year'"),
    ({"year": {"$lte": MOMENT}}, "datetime"),
    ({"url": {"$lt": 5}}, "'url'"),
    ({"url": b"https://a.org"}, "bytes"),
    ({"when": "2024-01-01"}, "kind datetime"),
    ({"raw": "x"}, "kind bytes"),
    ({"tags": "a"}, r"list of str: .*for members of lists there is \$contains"),
    ({"tags": {"$gt": "a"}}, r"\$contains"),
    ({"tags": {"$contains": 1}}, "list of str"),
    ({"url": {"$contains": "a.org"}}, "not for parts of texts"),
    ({"year": {"$contains": 2001}}, "members of lists"),
    ({"map": "x"}, "map, empty list or NaN"),
    ({"nan": 1}, "map, empty list or NaN"),
    ({"empty": 1}, "map, empty list or NaN"),
    ({"empty": {"$contains": 1}}, "map, empty list or NaN"),
    ({"tags": {"$any": [1, 2]}}, "list of str"),
    ({"year": {"$all": [2001]}}, "members of lists"),
    ({"year": {"$text": "20"}}, "kind number"),
    ({"year": {"$itext": "20"}}, "kind number"),
    ({"tags": {"$text": "a"}}, "look into texts, not into lists"),
    ({"empty": {"$text": "a"}}, "map, empty list or NaN"),
    ({"map.n": "3"}, "'map.n' has values of kind number"),
]


@pytest.mark.parametrize(("where", "says"), NOTHING, ids=repr)
def test_another_kind_finds_nothing_and_warns(index: pqstore.Index, where: dict, says: str) -> None:
    for _ in range(2):  # what is remembered of a filter warns again
        with pytest.warns(pqstore.FilterKindWarning, match=says) as caught:
            assert index.count(where) == 0
        assert [warning.filename for warning in caught] == [__file__], "it points at the line that asked"
    with pytest.warns(pqstore.FilterKindWarning):
        assert index.count({"$not": where}) == 21
    with pytest.warns(pqstore.FilterKindWarning, match=says):
        plan = index.search(np.zeros(8), where=where, explain=True).plan
    assert len(plan.remarks) == 1
    assert plan.allowed_rows == 0


@pytest.mark.parametrize("where", [where for where, _ in NOTHING], ids=repr)
def test_a_program_can_make_it_an_error(index: pqstore.Index, where: dict) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", pqstore.FilterKindWarning)
        for call in (index.count, index.scroll, index.delete):
            with pytest.raises(pqstore.FilterKindWarning):
                call(where)
    assert len(index) == 21


@pytest.mark.parametrize(
    ("where", "count"),
    [
        ({"year": 2001.0}, 1),
        ({"year": {"$in": [2001, 2002, 1]}}, 2),
        ({"year": {"$gt": 1e300}}, 0),
        ({"year": 1999}, 0),
        ({"year": None}, 0),
        ({"year": {"$in": [None, 2001]}}, 1),
        ({"tags": {"$contains": None}}, 0),
        ({"null": "anything"}, 0),
        ({"null": None}, 20),
        ({"mixed": "text"}, 10),
        ({"mixed": 4}, 1),
        ({"mixed": {"$gt": ""}}, 10),
        ({"map.n": 3}, 1),
        ({"map": {"$exists": True}}, 20),
        ({"unheard": 5}, 0),
        ({"map.unheard": 5}, 0),
        ({"$or": [{"unheard": 1}, {"year": 2003}]}, 1),
        ({"$not": {"unheard": 1}}, 21),
        ({"unheard": {"$ne": 1}}, 21),
        ({"unheard": {"$exists": False}}, 21),
        ({"tags": {"$contains": []}}, 0),
        ({"tags": {"$contains": ["a", "b"]}}, 10),
        ({"url": {"$contains": []}}, 0),
        ({"tags": {"$any": ["a", "c"]}}, 10),
        ({"tags": {"$any": []}}, 0),
        ({"tags": {"$all": ["a", "b"]}}, 10),
        ({"tags": {"$all": []}}, 0),
        ({"tags": {"$all": ["a", "c"]}}, 0),
        ({"url": {"$text": "a.org"}}, 20),
        ({"url": {"$text": "A.org"}}, 0),
        ({"url": {"$itext": "A.Org"}}, 20),
        ({"url": {"$text": ""}}, 20),
        ({"mixed": {"$text": "ex"}}, 10),
        ({"unheard": {"$text": "ex"}}, 0),
        ({"null": {"$text": "ex"}}, 0),
        ({"tags": {"$empty": True}}, 11),
        ({"tags": {"$empty": False}}, 10),
        ({"null": {"$empty": True}}, 21),
        ({"map": {"$empty": False}}, 20),
        ({"nan": {"$empty": False}}, 20),
        ({"unheard": {"$empty": True}}, 21),
        ({"year": {"$empty": True}}, 1),
        ({"year": {"$in": []}}, 0),
        ({"year": {"$nin": []}}, 21),
    ],
    ids=repr,
)
def test_what_may_be_meant_does_not_warn(index: pqstore.Index, where: dict, count: int) -> None:
    assert index.count(where) == count


def test_one_kind_of_several(index: pqstore.Index) -> None:
    with pytest.warns(pqstore.FilterKindWarning, match=r"'2002' \(str\)"):
        assert index.count({"year": {"$in": [2001, "2002", None]}}) == 1


def test_fields_that_nobody_has_yet(tmp_path: Path, small_pq: pqstore.PQ) -> None:
    """A program that deletes what it is about to add again works the first time too."""
    with pqstore.Index.create(tmp_path / "index", small_pq) as index:
        for _ in range(2):
            index.delete({"source": "a.pdf"})
            index.add(np.zeros((2, 8)), payloads=[{"source": "a.pdf", "at": {"page": n}} for n in range(2)])
            assert len(index) == 2
        remarks = index.search(np.zeros(8), where={"sauce": 1, "at.page": 1, "a.t": 2}, explain=True).plan.remarks
        assert remarks == ("no payload ever had the field 'a.t'", "no payload ever had the field 'sauce'")
        with pytest.raises(pqstore.InvalidFilterError, match=r"unknown operator '\$eqq'"):
            index.count({"source": {"$eqq": "a.pdf"}})


def test_rows_that_other_conditions_leave_are_enough(tmp_path: Path, small_pq: pqstore.PQ) -> None:
    with pqstore.Index.create(tmp_path / "index", small_pq, fields=["lang"]) as index:
        index.add(np.zeros((2, 8)), payloads=[{"lang": "de", "n": 1}, {"lang": "fr", "n": "1"}])
        assert index.count({"n": "1"}) == 1
        assert index.count({"lang": "it", "n": b"1"}) == 0
