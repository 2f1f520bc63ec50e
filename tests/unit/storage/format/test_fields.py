"""A value is what its field says, or the error says where it is not."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest

from pqstore.errors import CorruptIndexError
from pqstore.storage.format import fields

POINT = fields.row(fields.whole(0, 9), fields.text(3))
RECORD = fields.record_of(
    {
        "name": fields.text(4),
        "points": fields.list_of(POINT, 2),
        "some": fields.list_of(fields.flag, 2, 1),
        "code": fields.matching("[a-c]{2}", "two of a, b, c"),
        "sizes": fields.map_of(fields.text(2), fields.whole(0, 5)),
        "key": fields.binary(2),
        "share": fields.real(0.0, 1.0),
        "on": fields.flag,
        "word": fields.one_of("a", "b"),
        "next": fields.nullable(fields.whole(-1, 1)),
        "rest": fields.anything,
    },
    optional={"more": fields.whole(0, 1)},
)
SOUND: dict[str, Any] = {
    "name": "é",
    "points": [[1, "a"], [9, "abc"]],
    "some": [True],
    "code": "ca",
    "sizes": {"x": 5},
    "key": b"ab",
    "share": 0.5,
    "on": True,
    "word": "b",
    "next": None,
    "rest": [{}],
}


def unpacked(value: Any) -> Any:
    return fields.unpack(memoryview(msgpack.packb(value)), "the record", RECORD)


def test_lists_become_tuples() -> None:
    assert unpacked(SOUND) == {**SOUND, "points": ((1, "a"), (9, "abc")), "some": (True,)}
    assert unpacked({**SOUND, "more": 1})["more"] == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "éée"}, "name is a str, not a text of 1 to 4 bytes"),
        ({"name": ""}, "name is a str, not a text of 1 to 4 bytes"),
        ({"name": b"a"}, "name is a bytes, not a text"),
        ({"points": [[1, "a"]] * 3}, "points is a list, not a list of up to 2"),
        ({"points": {"a": 1}}, "points is a dict, not a list of up to 2"),
        ({"points": [[1, "a"], [10, "a"]]}, r"points\[1\]\[0\] is 10, not a whole number from 0 to 9"),
        ({"points": [[True, "a"]]}, r"points\[0\]\[0\] is True, not a whole number"),
        ({"points": [[1.0, "a"]]}, r"points\[0\]\[0\] is 1.0, not a whole number"),
        ({"points": [[1, "a", 2]]}, r"points\[0\] is a list, not a list of 2"),
        ({"some": []}, "some is a list, not a list of 1 to 2"),
        ({"some": [True] * 3}, "some is a list, not a list of 1 to 2"),
        ({"code": "cab"}, "code is a str, not two of a, b, c"),
        ({"code": "ca\n"}, "code is a str, not two of a, b, c"),
        ({"code": b"ca"}, "code is a bytes, not two of a, b, c"),
        ({"sizes": [1]}, "sizes is a list, not a map"),
        ({"sizes": {3: 1}}, "sizes.key is 3, not a text"),
        ({"sizes": {"x": 6}}, r"sizes\[...\] is 6, not a whole number from 0 to 5"),
        ({"key": b"abc"}, "key is a bytes, not 2 bytes"),
        ({"key": "ab"}, "key is a str, not 2 bytes"),
        ({"share": float("nan")}, "share is nan, not a real number from 0 to 1"),
        ({"share": 1}, "share is 1, not a real number"),
        ({"on": 1}, "on is 1, not true or false"),
        ({"word": "c"}, "word is a str, not one of a, b"),
        ({"word": ["a"]}, "word is a list, not one of a, b"),
        ({"next": 2}, "next is 2, not a whole number from -1 to 1"),
        ({"more": 2}, "more is 2, not a whole number from 0 to 1"),
        ({"else": 2}, "it is a dict, not a map of code, key, name"),
    ],
)
def test_what_does_not_fit_is_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(CorruptIndexError, match=f"^the record: {message}"):
        unpacked({**SOUND, **change})


@pytest.mark.parametrize("name", list(SOUND))
def test_no_field_may_be_missing(name: str) -> None:
    with pytest.raises(CorruptIndexError, match="not a map of"):
        unpacked({key: value for key, value in SOUND.items() if key != name})


def test_a_member_of_a_map_whatever_else_it_has() -> None:
    field = fields.member("a", fields.whole(0, 1))
    assert field({"a": 1, "b": object()}) == 1
    for value in ({"b": 1}, [1], {"a": 2}):
        with pytest.raises(fields.UnfitError):
            field(value)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xc1",
        b"\x93\x01",
        b"\xa2\xff\xfe",
        b"\x81\x90\x01",  # a list as a key
        b"\x91" * 100_000 + b"\xc0",
        b"\xdd\xff\xff\xff\xff" * 1000,
        b"\xdd\x00\x10\x00\x00" * 511 + bytes(1 << 20),
        b"\xdf\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        b"\xc7\x0c\xff" + b"\xff" * 12,
        b"\x01\x01",
    ],
    ids=lambda content: f"{content[:6].hex()}-{len(content)}",
)
def test_what_is_no_msgpack(content: bytes) -> None:
    """Lists in lists that claim to be long made the reader ask for gigabytes."""
    with pytest.raises(CorruptIndexError, match=r"^the record: "):
        fields.unpack(memoryview(content), "the record", RECORD)
