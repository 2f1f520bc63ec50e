"""Identity and state: no number of theirs is believed that cannot be."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import msgpack
import pytest

from pqstore.errors import CorruptIndexError, FormatVersionError
from pqstore.storage.format import records
from pqstore.storage.format.state import LAST_SEGMENT, Identity, MergeJob, Range, RunInfo, State

IDENTITY = Identity(
    uuid="0" * 36,
    id_type="int64",
    durability="full",
    segment_rows=1024,
    chunk_rows=256,
    hash_key=bytes(32),
    created=1.0,
    settings={"M": 8},
    arrays=("codewords",),
)
STATE = State(
    commit=9,
    open_segment=4,
    tail_rows=100,
    tail_dead=2,
    tail_stamp=9,
    live_rows=3000,
    next_id=5000,
    next_run=8,
    table_stamp=7,
    ranges=(Range(0, 0, 1024),),
    runs=(RunInfo(1, 500), RunInfo(3, 1500)),
    merge=MergeJob(6, (1, 3), (500, 12), 256),
    transaction=11,
)


def repacked(kind: int, value: bytes, changes: dict[str, Any], entries: int = 0) -> memoryview:
    plain = {**msgpack.unpackb(value[records.HEADER_BYTES :]), **changes}
    return memoryview(records.pack_record(kind, 0, 0, entries, [msgpack.packb(plain)]))


def test_round_trips() -> None:
    assert Identity.unpack(memoryview(IDENTITY.pack())) == IDENTITY
    assert State.unpack(memoryview(STATE.pack())) == STATE
    STATE.check(1024, 256)


@pytest.mark.parametrize(
    "changes",
    [
        {"uuid": 7},
        {"uuid": "\x1b[2J"},
        {"id_type": "int32"},
        {"id_type": ["int64"]},
        {"durability": "none"},
        {"segment_rows": 1 << 40},
        {"segment_rows": 0},
        {"segment_rows": 1024.0},
        {"segment_rows": 1000},
        {"chunk_rows": 2048},
        {"chunk_rows": 33},
        {"hash_key": b"short"},
        {"hash_key": bytes(65)},
        {"created": float("nan")},
        {"settings": [1]},
        {"settings": {1: 2}},
        {"arrays": "codewords"},
        {"arrays": [""]},
        {"arrays": ["x" * 512]},
        {"arrays": [3]},
        {"features": [3]},
        {"features": "x"},
        {"row_bytes": -1},
        {"row_bytes": 1 << 32},
        {"row_bytes": None},
        {"more": 1},
    ],
    ids=str,
)
def test_an_identity_that_cannot_be(changes: dict[str, Any]) -> None:
    with pytest.raises(CorruptIndexError, match=r"^identity: "):
        Identity.unpack(repacked(records.IDENTITY, IDENTITY.pack(), changes))


def test_features_are_told_whatever_else_there_is() -> None:
    changes = {"features": ["of a later pqstore"], "more": 1, "segment_rows": "many"}
    with pytest.raises(FormatVersionError, match="of a later pqstore"):
        Identity.unpack(repacked(records.IDENTITY, IDENTITY.pack(), changes))


@pytest.mark.parametrize(
    "changes",
    [
        *(
            {name: number}
            for name in ("commit", "live_rows", "next_run")
            for number in (-1, 2**62 + 1, None, 1.0, True)
        ),
        {"open_segment": LAST_SEGMENT + 1},
        {"tail_rows": 65_536},
        {"next_id": -1},
        {"next_id": 2**63 + 1},
        {"superseded": 0},
        {"ranges": [[0, 0]]},
        {"ranges": [[0, 0, 0]]},
        {"ranges": [[-(2**63) - 0, -1, 5]]},
        {"ranges": [[2**63, 0, 5]]},
        {"ranges": 5},
        {"runs": [[1, 0]]},
        {"runs": [[1, 2**63]]},
        {"runs": [1]},
        {"merge": [1, 2, 3, 4]},
        {"merge": [1, [], [], -1]},
        {"merge": {}},
        {"transaction": None},
        {"transaction": -1},
        {"more": 1},
    ],
    ids=str,
)
def test_a_state_that_cannot_be(changes: dict[str, Any]) -> None:
    with pytest.raises(CorruptIndexError, match=r"^state: "):
        State.unpack(repacked(records.STATE, STATE.pack(), changes, entries=9))


def test_the_record_names_the_commit() -> None:
    with pytest.raises(CorruptIndexError, match=r"^state: of commit 9 in a record of commit 10"):
        State.unpack(repacked(records.STATE, STATE.pack(), {}, entries=10))


@pytest.mark.parametrize(
    "changes",
    [
        {"tail_rows": 1024},
        {"tail_dead": 101},
        {"tail_stamp": 10},
        {"table_stamp": 10},
        {"ranges": (Range(0, 4096, 1),)},
        {"ranges": (Range(0, 0, 2**60),)},
        {"ranges": (Range(4000, 0, 1001),)},
        {"runs": (RunInfo(1, 5), RunInfo(1, 5))},
        {"next_run": 0},
        {"next_run": 3},
        {"merge": MergeJob(3, (1, 3), (0, 0), 0)},
        {"merge": MergeJob(8, (1, 3), (0, 0), 0)},
        {"merge": MergeJob(6, (), (), 0)},
        {"merge": MergeJob(6, (1, 1), (0, 0), 0)},
        {"merge": MergeJob(6, (1, 3), (0,), 0)},
        {"merge": MergeJob(6, (1, 2), (0, 0), 0)},
        {"merge": MergeJob(6, (1, 3), (501, 0), 0)},
        {"merge": MergeJob(6, (1, 3), (0, 0), 100)},
    ],
    ids=str,
)
def test_numbers_that_contradict_each_other(changes: dict[str, Any]) -> None:
    with pytest.raises(CorruptIndexError, match=r"^state: "):
        STATE._replace(**changes).check(1024, 256)


def test_no_counter_is_written_that_could_not_be_read() -> None:
    for changes in ({"commit": 2**62 + 1}, {"next_run": 2**62 + 1}, {"open_segment": LAST_SEGMENT + 1}):
        with pytest.raises(CorruptIndexError, match="a counter has come to the end"):
            STATE._replace(**changes).pack()


def test_an_identity_is_what_was_packed() -> None:
    other = replace(IDENTITY, row_bytes=64, features=(records.NUMBERED_STATES,))
    assert asdict(Identity.unpack(memoryview(other.pack()))) == asdict(other)
