"""Values of payloads: what is stored as which plain value, and what is refused because it could not be read again."""

from __future__ import annotations

import enum
import math
from collections import OrderedDict, UserDict, namedtuple
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import msgpack
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pqstore.errors import InvalidPayloadError
from pqstore.storage.attachments.payload_records import PayloadPacker, unpack_payload
from pqstore.storage.attachments.plain_values import UnfitValueError, plain_payload, plain_value

UTC = timezone.utc
BERLIN = ZoneInfo("Europe/Berlin")


class Colour(str, enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class Text(str):
    def __str__(self) -> str:
        return "another"


class Number(float):
    pass


class Finer(datetime):
    """As a time of pandas is."""

    nanosecond = 1


class Never(datetime):
    """As the NaT of pandas is."""

    def __ne__(self, other: object) -> bool:
        return True


Point = namedtuple("Point", "x y")

MOMENT = datetime(2024, 1, 1, 12, tzinfo=UTC)

STORED_AS = [
    (np.int64(2021), 2021),
    (np.uint64(2**64 - 1), 2**64 - 1),
    (np.int8(-3), -3),
    (np.float16(0.1), float(np.float16(0.1))),
    (np.float32(0.1), float(np.float32(0.1))),
    (np.longdouble(0.5), 0.5),
    (np.float64(2.5), 2.5),
    (np.bool_(True), True),
    (np.str_("é"), "é"),
    (np.bytes_(b"a"), b"a"),
    (np.void(b"raw"), b"raw"),
    (np.zeros(1, dtype=[("a", "i4"), ("b", "f2")])[0], [0, 0.0]),
    (memoryview(b"view"), b"view"),
    (memoryview(b"v-i-e-w")[::2], b"view"),
    (bytearray(b"array"), b"array"),
    (Colour.RED, "red"),
    (Level.HIGH, 3),
    (Text("itself"), "itself"),
    (Number(1.5), 1.5),
    (Point(1, np.int32(2)), [1, 2]),
    ((1, (2, [3])), [1, [2, [3]]]),
    (OrderedDict(b=1, a=np.int8(2)), {"b": 1, "a": 2}),
    (UserDict({"a": [np.float32(1)]}), {"a": [1.0]}),
    ({np.int64(1): {Colour.RED: None}}, {1: {"red": None}}),
    (MOMENT.astimezone(BERLIN), MOMENT),
    (np.datetime64("2024-01-01T12", "ns"), MOMENT),
    (np.datetime64("2024-01-01T12:00", "m"), MOMENT),
    (np.datetime64("2024-01-01"), datetime(2024, 1, 1, tzinfo=UTC)),
    (np.datetime64("1969", "Y"), datetime(1969, 1, 1, tzinfo=UTC)),
    (msgpack.Timestamp.from_datetime(MOMENT), MOMENT),
    (msgpack.ExtType(7, b"x"), msgpack.ExtType(7, b"x")),
]

REFUSED = [
    (2**64, "beyond 64 bits"),
    (-(2**63) - 1, "beyond 64 bits"),
    ("\ud800", "not valid Unicode"),
    (Text("\ud800"), "not valid Unicode"),
    ({(0, 1): "x"}, "key of a map"),
    ({Point(0, 1): "x"}, "key of a map"),
    ({frozenset(): 1}, "frozenset"),
    ({MOMENT: 1, np.datetime64("2024-01-01T12"): 2}, "two keys"),
    ({1, 2}, "no order"),
    (object(), "of type object"),
    (1j, "of type complex"),
    (np.complex64(1j), "of type complex"),
    (np.timedelta64(1, "s"), "of type timedelta64"),
    (np.timedelta64(1, "ns"), "of type timedelta64"),
    (np.longdouble(1) + np.finfo(np.longdouble).eps, "longdouble"),
    (np.arange(3), "tolist"),
    (Decimal(1), "of type Decimal"),
    (timedelta(1), "of type timedelta"),
    (date(2024, 1, 1), "a date"),
    (enum.Enum("Plain", "A").A, "its .value"),
    (datetime(2024, 1, 1), "without a time zone"),
    (datetime.max.replace(tzinfo=ZoneInfo("America/New_York")), "years 1 to 9999"),
    (datetime.min.replace(tzinfo=BERLIN), "years 1 to 9999"),
    (np.datetime64("NaT"), "no time"),
    (Never(2024, 1, 1, tzinfo=UTC), "no time"),
    (Finer(2024, 1, 1, tzinfo=UTC), "finer than a microsecond"),
    (np.datetime64("2024-01-01T00:00:00.000000001"), "finer than a microsecond"),
    (np.datetime64("20000-01-01"), "years 1 to 9999"),
    (np.datetime64(2**62, "s"), "years 1 to 9999"),
    (msgpack.Timestamp(0, 1), "finer than a microsecond"),
    (msgpack.Timestamp(10**15, 0), "years 1 to 9999"),
]


def exactly(value: object) -> object:
    """A value with its type, all the way down; NaN equals itself."""
    if isinstance(value, dict):
        return dict, {exactly(key): exactly(entry) for key, entry in value.items()}
    if type(value) is list:
        return list, tuple(map(exactly, value))
    return type(value), "NaN" if isinstance(value, float) and math.isnan(value) else value


def round_trip(payloads: list[Any]) -> list[Any]:
    packer = PayloadPacker(())
    content, ends = packer.pack_all(payloads)
    return [
        unpack_payload(content[start:end], 0, packer.names) if end > start else None
        for start, end in pairwise([0, *ends.tolist()])
    ]


@pytest.mark.parametrize(("value", "stored"), STORED_AS, ids=lambda value: type(value).__name__)
def test_what_is_stored(value: object, stored: object) -> None:
    assert exactly(plain_value(value)) == exactly(stored)
    for payload, expected in (({"k": value}, {"k": stored}), ({"k": [{"k": value}]}, {"k": [{"k": stored}]})):
        batch = [{"k": 1}, payload, None]
        assert exactly(round_trip(batch)[1]) == exactly(expected)
        assert exactly(plain_value(batch[1])) == exactly(expected), "what is indexed is what is stored"


@pytest.mark.parametrize(("value", "why"), REFUSED, ids=lambda value: type(value).__name__)
def test_what_is_refused(value: object, why: str) -> None:
    with pytest.raises(UnfitValueError, match=why):
        plain_value(value)
    packer = PayloadPacker(())
    with pytest.raises(InvalidPayloadError, match=rf"payload 1 .*\['some'\]\['deep'\]\[2\].*{why}"):
        packer.pack_all([{"ok": 1}, {"some": {"deep": [1, "x", value]}}])
    with pytest.raises(InvalidPayloadError, match=rf"payload 0 .*\['top'\].*{why}"):
        packer.pack_all([{"top": value}])


def test_times_of_pandas() -> None:
    pandas = pytest.importorskip("pandas")
    for zone in ("UTC", "Europe/Berlin"):
        assert exactly(plain_value(pandas.Timestamp("2024-01-01T12:00", tz="UTC").tz_convert(zone))) == exactly(MOMENT)
    for value, why in (
        (pandas.NaT, "no time"),
        (pandas.Timestamp("2024-01-01"), "without a time zone"),
        (pandas.Timestamp("2024-01-01T00:00:00.000000001Z"), "finer than a microsecond"),
        (pandas.NA, "NAType"),
    ):
        with pytest.raises(UnfitValueError, match=why):
            plain_value(value)


def test_a_payload_is_a_map_with_str_keys() -> None:
    assert exactly(plain_payload({Colour.RED: 1, Text("itself"): 2}, 0)) == exactly({"red": 1, "itself": 2})
    for bad in ([1], "text", {3: 1}, {b"k": 1}, {"\ud800": 1}, {("a",): 1}):
        with pytest.raises(InvalidPayloadError, match="payload 4"):
            plain_payload(bad, 4)


def test_what_holds_itself_is_nested_too_deeply() -> None:
    round_and_round: list[Any] = []
    round_and_round.append(round_and_round)
    with pytest.raises(InvalidPayloadError, match=r"payload 0 .*nested too deeply"):
        PayloadPacker(()).pack_all([{"k": round_and_round}])


keys = st.text(max_size=3) | st.integers(-(2**63), 2**64 - 1) | st.booleans() | st.none() | st.binary(max_size=3)
moments = st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=-5)), BERLIN]))
values = st.recursive(
    keys | st.floats() | moments | st.sampled_from([value for value, _ in STORED_AS]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(keys | moments | st.tuples(st.integers()), inner, max_size=4)
    ),
    max_leaves=10,
)


@given(st.dictionaries(st.text(max_size=3), values, max_size=4))
@settings(max_examples=400, deadline=None)
def test_what_is_taken_comes_back_as_it_was_indexed(payload: dict[str, Any]) -> None:
    batch: list[Any] = [payload]
    try:
        (again,) = round_trip(batch)
    except InvalidPayloadError:
        with pytest.raises(InvalidPayloadError):
            plain_payload(payload, 0)
        return
    assert exactly(again) == exactly(plain_payload(payload, 0))
    assert exactly(plain_payload(batch[0], 0)) == exactly(again)
