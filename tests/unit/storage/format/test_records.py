"""Arrays out of records: plain numbers, of the shape and size that there are."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest

from pqstore.errors import CorruptIndexError
from pqstore.storage.format import records

ARRAYS = [
    np.arange(12, dtype=np.float32).reshape(3, 4),
    np.array(5.0),
    np.zeros((0, 4), dtype=np.int64),
    np.array([True, False]),
    np.arange(6, dtype=">u2"),
]


@pytest.mark.parametrize("array", ARRAYS, ids=lambda array: f"{array.dtype}{array.shape}")
def test_round_trip(array: Any) -> None:
    value = memoryview(records.pack_array("a", array))
    found = records.unpack_array(value, "a")
    assert found.shape == array.shape
    assert np.array_equal(found, array)
    assert records.array_name(value) == "a"


def array_record(kind: bytes, shape: tuple[int, ...], content: bytes, count: int, name: bytes = b"a") -> memoryview:
    head = struct.pack("<HHH10x", len(name), len(kind), len(shape)) + struct.pack(f"<{len(shape)}Q", *shape)
    head += name + kind
    head += bytes(-len(head) % 16)
    return memoryview(records.pack_record(records.ARRAY, 0, 0, count, [head + content]))


@pytest.mark.parametrize(
    ("kind", "shape", "size", "count"),
    [
        (b"|O", (1,), 8, 1),
        (b"f4,(", (1,), 4, 1),
        (b"<U1000000000", (0,), 0, 0),
        (b"M8[s]", (1,), 8, 1),
        (b"<f3", (1,), 3, 1),
        (b"<i99", (1,), 99, 1),
        (b"", (1,), 4, 1),
        (b"\xff\xfe", (1,), 4, 1),
        (b"<f4", (2**62,), 16, 2**62),
        (b"<f4", (2**32, 2**32), 16, 4),
        (b"<f4", (0, 2**63, 2**63), 0, 0),
        (b"<f4", (2, 2), 12, 4),
        (b"<f4", (2, 2), 16, 5),
        (b"<f4", (1,) * 9, 4, 1),
        (b"<f4", (1,) * 70, 4, 1),
    ],
    ids=str,
)
def test_arrays_that_cannot_be(kind: bytes, shape: tuple[int, ...], size: int, count: int) -> None:
    """A type was once handed to NumPy as it came, which raises SyntaxError over some, and allocates for others."""
    with pytest.raises(CorruptIndexError, match=r"^array 'a': "):
        records.unpack_array(array_record(kind, shape, bytes(size), count), "a")


def test_a_description_that_is_cut_short() -> None:
    for content in (b"", bytes(15), struct.pack("<HHH10x", 60_000, 60_000, 60_000)):
        record = memoryview(records.pack_record(records.ARRAY, 0, 0, 0, [content]))
        with pytest.raises(CorruptIndexError):
            records.unpack_array(record, "a")
        with pytest.raises(CorruptIndexError):
            records.array_name(record)


def test_a_name_that_is_no_text() -> None:
    record = array_record(b"<f4", (1,), bytes(4), 1, name=b"\xff")
    with pytest.raises(CorruptIndexError):
        records.array_name(record)


def test_keys_of_other_sizes_are_damage() -> None:
    value = memoryview(records.pack_segment(3, 1024, 0, 0))
    assert list(records.unpack_segments([(memoryview(records.key1(3)), value)])) == [(3, 1024, 0, 0)]
    for key in (b"\0\0\0\3", records.key1(3) + b"x"):
        with pytest.raises(CorruptIndexError):
            list(records.unpack_segments([(memoryview(key), value)]))
