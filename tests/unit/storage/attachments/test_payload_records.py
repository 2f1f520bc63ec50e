"""Payloads: compiled packing gives what msgpack gives, and records hold what was put into them."""

from __future__ import annotations

import math
from collections import UserDict
from collections.abc import Callable
from datetime import datetime, timezone
from itertools import pairwise

import msgpack
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pqstore.errors import CorruptIndexError, InvalidPayloadError
from pqstore.native import native_loops
from pqstore.storage import Limits, Store
from pqstore.storage.attachments import payload_records as payload_module
from pqstore.storage.attachments.payload_records import (
    PackedPayloads,
    PayloadPacker,
    open_payloads,
    pack_payloads,
    unpack_payload,
)
from pqstore.storage.attachments.plain_values import plain_value
from pqstore.storage.format import records
from pqstore.storage.format.catalog import MAX_NAMES
from tests.effort import tries

values = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**63), 2**64 - 1),
        st.floats(),
        st.text(max_size=40),
        st.binary(max_size=40),
        st.datetimes(min_value=datetime(1900, 1, 1), max_value=datetime(2500, 1, 1), timezones=st.just(timezone.utc)),
        st.sampled_from([np.int16(-3), np.float64(2.5), np.bool_(True), "x" * 255, "y" * 70_000, b"z" * 300]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=5),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(st.text(max_size=5) | st.integers(-5, 5), inner, max_size=4),
        st.integers(14, 18).map(lambda n: list(range(n))),
    ),
    max_leaves=8,
)
payloads = st.lists(st.none() | st.dictionaries(st.sampled_from(["a", "b", "é", "", "long key"]), values), max_size=6)


def packed(packer: PayloadPacker, batch: list) -> list[bytes]:
    content, ends = packer.pack_all(batch)
    return [bytes(content[start:end]) for start, end in pairwise([0, *ends.tolist()])]


@given(payloads, payloads)
@settings(max_examples=tries(100, 1000), deadline=None)
def test_compiled_packing_is_that_of_msgpack(first: list, second: list) -> None:
    slow, quick = PayloadPacker(("b",)), PayloadPacker(("b",))
    for batch in (first, second):
        expected = [b"" if payload is None else slow.pack(payload, 0)[0] for payload in batch]
        assert packed(quick, batch) == expected
    assert quick.names == slow.names
    for payload, content in zip([*first, *second], packed(quick, [*first, *second]), strict=True):
        if payload is not None:
            again = unpack_payload(content, 0, quick.names)
            assert msgpack.packb(again, datetime=True) == msgpack.packb(
                payload, datetime=True, default=lambda value: value.item()
            )


@pytest.mark.parametrize("length", [0, 1, 31, 32, 255, 256, 65_535, 65_536])
def test_lengths_at_which_the_encoding_changes(length: int) -> None:
    packer = PayloadPacker(("k",))
    for value in ("s" * length, b"b" * length, [None] * length, {str(n): n for n in range(length)}):
        assert packed(packer, [{"k": value}]) == [PayloadPacker(("k",)).pack({"k": value}, 0)[0]]


@pytest.mark.parametrize(
    "number", [0, 127, 128, 255, 256, 65_535, 65_536, 2**32 - 1, 2**32, 2**63 - 1, 2**63, 2**64 - 1]
)
def test_numbers_at_which_the_encoding_changes(number: int) -> None:
    packer = PayloadPacker(("k",))
    for value in (number, -number, -number - 1, float(number), math.inf, -0.0):
        if isinstance(value, float) or value >= -(2**63):
            assert packed(packer, [{"k": value}]) == [PayloadPacker(("k",)).pack({"k": value}, 0)[0]]


def test_more_names_than_numbers() -> None:
    packer = PayloadPacker(())
    batch = [{f"name {n}": n} for n in range(MAX_NAMES + 3)]
    first, second = packed(packer, batch), packed(packer, batch)
    assert first == second
    assert len(packer.names) == MAX_NAMES
    assert [unpack_payload(content, 0, packer.names) for content in first] == batch


@pytest.mark.parametrize("bad", [{"k": 2**64}, {"k": "\ud800"}, {"k": {1, 2}}, [1], {"k": [[object()]]}, {3: 1}])
def test_what_cannot_be_stored_is_named(bad: object) -> None:
    packer = PayloadPacker(("k",))
    with pytest.raises(InvalidPayloadError, match="payload 2"):
        packer.pack_all([{"k": 1}, None, bad])


def test_the_largest_payload(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(payload_module, "MAX_PAYLOAD_BYTES", 100)
    packer = PayloadPacker(("k",))
    assert len(packed(packer, [{"k": "x" * 96}])[0]) == 100
    with pytest.raises(InvalidPayloadError, match="101 bytes, 100 at most"):
        packer.pack_all([{"k": "x" * 97}])


def test_deep_payloads() -> None:
    deep: object = 1
    for _ in range(300):
        deep = [deep]
    packer = PayloadPacker(("k",))
    assert packed(packer, [{"k": deep}]) == [PayloadPacker(("k",)).pack({"k": deep}, 0)[0]]
    for _ in range(3000):
        deep = [deep]
    with pytest.raises(InvalidPayloadError, match="payload 0"):
        packer.pack_all([{"k": deep}])


def test_a_batch_that_changes_while_it_is_packed() -> None:
    if native_loops() is None:
        pytest.skip("for the compiled module")
    batch = [{"k": 1}, {"k": 2}]
    with pytest.raises(ValueError, match="changed"):
        native_loops().pack_payloads(
            batch, {}, plain_value, lambda *_: batch.clear() or b"", 100, np.empty(2, dtype=np.int64)
        )


@given(st.lists(st.sampled_from([0, 0, 1, 90, 5000, 16_300, 40_000]), min_size=1, max_size=60))
@settings(deadline=None)
def test_records_cover_every_row(sizes: list[int]) -> None:
    parts = [bytes([at % 256]) * size for at, size in enumerate(sizes)]
    expected = 70
    for first_row, value in pack_payloads(70, PackedPayloads.of(parts)):
        assert first_row == expected
        record = open_payloads(memoryview(value), first_row)
        assert [bytes(record.of(row)) for row in range(first_row, record.stop)] == parts[
            first_row - 70 : record.stop - 70
        ]
        assert len(value) <= payload_module.RECORD_BYTES or record.stop == first_row + 1
        expected = record.stop
    assert expected == 70 + len(sizes)


def test_small_batches_share_records(create: Callable[..., Store]) -> None:
    store = create(bulk=True)
    codes = np.zeros((1, 8), dtype=np.uint8)
    for number in range(300):
        with store.write() as txn:
            txn.append(codes, payloads=[{"number": number, "text": "x" * 60}] if number > 10 else None)
    with store.read() as snapshot:
        assert snapshot.catalog.payloads_from == 11
        assert len(snapshot.records.keys("payloads")) <= 4
        found = snapshot.payloads_of(np.arange(300)[::-1])
        assert [payload and payload["number"] for payload in found][::-1] == [None] * 11 + list(range(11, 300))
        assert [row for row, _ in snapshot.payload_items(5, np.ones(35, dtype=np.bool_))] == list(range(11, 40))
    assert store.verify(deep=True) == []


def test_an_abandoned_transaction_leaves_payloads_as_they_were(
    create: Callable[..., Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has extended the last record and staged that; the next writer writes over what it added."""
    store = create(bulk=True, limits=Limits(stage_bytes=2000))
    with store.write() as txn:
        txn.append(np.zeros((3, 8), dtype=np.uint8), payloads=[{"n": n} for n in range(3)])
    with monkeypatch.context() as patch:
        patch.setattr("pqstore.storage.transactions.write.clear_staged", lambda environment: None)
        txn = store.write()
        for block in range(30):
            txn.append(np.zeros((100, 8), dtype=np.uint8), payloads=[{"other": block}] * 100)
        assert txn._staged
        txn.close()
    assert store.verify(deep=True) == []
    with store.write() as txn:
        txn.append(np.zeros((4, 8), dtype=np.uint8), payloads=[None, {"n": 4}, {"n": 5}, None])
    with store.read() as snapshot:
        assert snapshot.payloads_of(np.arange(7)) == [{"n": 0}, {"n": 1}, {"n": 2}, None, {"n": 4}, {"n": 5}, None]
    assert store.verify(deep=True) == []


@pytest.mark.parametrize("cleared", [False, True])
@pytest.mark.parametrize("size", [1, 3000, 7000, 9000, 40_000])
@pytest.mark.parametrize("blocks", [3, 8, 30])
def test_what_follows_an_abandoned_transaction_overlaps_nothing(
    create: Callable[..., Store], monkeypatch: pytest.MonkeyPatch, blocks: int, size: int, cleared: bool
) -> None:
    """A record that had been extended and staged, and then was too full to be extended again, kept the rows that were
    never committed beside the next record, which begins with the first of them. A killed writer showed it."""
    store = create(bulk=True, limits=Limits(stage_bytes=2000))
    with store.write() as txn:
        txn.append(np.zeros((3, 8), dtype=np.uint8), payloads=[{"n": n} for n in range(3)])
    with monkeypatch.context() as patch:
        if not cleared:
            patch.setattr("pqstore.storage.transactions.write.clear_staged", lambda environment: None)
        txn = store.write()
        for block in range(blocks):
            txn.append(np.zeros((100, 8), dtype=np.uint8), payloads=[{"other": block, "text": "x" * 10}] * 100)
        assert txn._staged
        txn.close()
    with store.write() as txn:
        txn.append(np.zeros((2, 8), dtype=np.uint8), payloads=[{"n": "y" * size}, None])
    with store.read() as snapshot:
        assert snapshot.payloads_of(np.arange(5)) == [{"n": 0}, {"n": 1}, {"n": 2}, {"n": "y" * size}, None]
    assert store.verify(deep=True) == []


def test_a_record_in_another_place_is_noticed() -> None:
    ((_, value),) = pack_payloads(5, PackedPayloads.of([b"\x80"]))
    with pytest.raises(CorruptIndexError, match="payloads from row 6 on"):
        open_payloads(memoryview(value), 6)
    empty = records.pack_record(records.PAYLOADS, 5, 0, 0, [b""])
    with pytest.raises(CorruptIndexError, match="places"):
        open_payloads(memoryview(empty), 5)


def test_a_payload_that_changes_while_it_is_packed() -> None:
    """A value of the user's own type may run anything when it is made plain."""

    class Changing(UserDict):
        def items(self):
            payload.update({f"more {n}": np.int64(n) for n in range(50)})
            return super().items()

    payload: dict = {"first": 1, "own": Changing(a=1), "last": [np.float32(1)]}
    packer = PayloadPacker(("first", "own", "last"))
    (content,) = packed(packer, [payload])
    again = unpack_payload(content, 0, packer.names)
    assert again["own"] == {"a": 1}
    assert again["last"] == [1.0]


@pytest.mark.parametrize("key", [-1, -2, 2, 2**40, True, None, 1.0, b"a"])
def test_a_key_that_is_neither_a_name_nor_the_number_of_one(key: object) -> None:
    """-1 was the last name, and True the second: another field's value came back without a word."""
    content = msgpack.packb({key: 7})
    with pytest.raises(CorruptIndexError, match="payload of row 5"):
        unpack_payload(content, 5, ("first", "second"))
    assert unpack_payload(msgpack.packb({1: 7, "more": 8}), 5, ("first", "second")) == {"second": 7, "more": 8}
