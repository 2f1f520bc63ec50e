"""Columns of ids: int64 or strings, in memory and in records, and the 64-bit keys that the id map sorts by."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from pqstore.arrays import I64, U8, U64
from pqstore.errors import CorruptIndexError
from pqstore.native import native_loops
from pqstore.storage.format import records
from pqstore.storage.format.records import Record
from pqstore.storage.format.state import IdType

__all__ = [
    "LONGEST_ID",
    "IdCodec",
    "IdColumn",
    "IntColumn",
    "RangeColumn",
    "StringColumn",
    "int_keys",
    "is_consecutive",
    "new_id_parts",
]

LONGEST_ID: Final = 4096  # bytes of a string id
_SIGN = np.uint64(1 << 63)


def int_keys(ids: I64) -> U64:
    """int64 ids -> u64 keys in the same order: the sign bit flipped."""
    return np.asarray(np.ascontiguousarray(ids, dtype=np.int64).view(np.uint64) ^ _SIGN)


def is_consecutive(values: I64) -> bool:
    """Whether every id is the one before plus 1."""
    count = len(values)
    if count == 0 or int(values[-1]) - int(values[0]) != count - 1:
        return False
    return bool(np.all(values[1:] - values[:-1] == 1))


class IdColumn(Protocol):
    """Ids of consecutive rows, in row order."""

    def __len__(self) -> int: ...
    def keys(self) -> U64: ...
    def part(self, start: int, stop: int) -> IdColumn: ...
    def take(self, positions: I64) -> IdColumn: ...
    def at(self, position: int) -> int | str: ...
    def ascends(self) -> bool: ...
    def highest(self) -> int: ...
    def plain(self) -> I64 | int | None: ...
    def user(self) -> npt.NDArray[Any]: ...
    def encode(self, *, tail: bool) -> tuple[int, list[Any]]: ...


class IntColumn:
    """int64 ids."""

    __slots__ = ("_ascends", "values")

    def __init__(self, values: I64) -> None:
        self.values = values
        self._ascends: bool | None = None

    def __len__(self) -> int:
        return len(self.values)

    def keys(self) -> U64:
        return int_keys(self.values)

    def part(self, start: int, stop: int) -> IntColumn:
        return IntColumn(self.values[start:stop])

    def take(self, positions: I64) -> IntColumn:
        return IntColumn(self.values[positions])

    def at(self, position: int) -> int:
        return self.values.item(position)

    def ascends(self) -> bool:
        """Whether each id is larger than the one before; looked at once."""
        if self._ascends is None:
            self._ascends = bool(np.all(self.values[1:] > self.values[:-1]))
        return self._ascends

    def highest(self) -> int:
        """The largest id; -1 of strings, which no counter gives, and where there is none."""
        return int(self.values.max(initial=-1))

    def plain(self) -> I64 | int | None:
        """What compiled code reads: the ids, or the first of consecutive ones; None: strings."""
        return self.values

    def user(self) -> npt.NDArray[Any]:
        return self.values

    def encode(self, *, tail: bool) -> tuple[int, list[Any]]:  # noqa: ARG002 - of IdColumn
        if is_consecutive(self.values):
            return records.IDS_RANGE, [np.array(self.values[:1], dtype="<i8")]
        return records.IDS_INT64, [np.ascontiguousarray(self.values, dtype="<i8")]


class RangeColumn:
    """Consecutive int64 ids, not written out: 65,536 of them take no memory."""

    __slots__ = ("count", "first")

    def __init__(self, first: int, count: int) -> None:
        self.first = first
        self.count = count

    def __len__(self) -> int:
        return self.count

    def keys(self) -> U64:
        return int_keys(self.user())

    def part(self, start: int, stop: int) -> RangeColumn:
        return RangeColumn(self.first + start, stop - start)

    def take(self, positions: I64) -> IntColumn:
        return IntColumn(positions + np.int64(self.first))

    def at(self, position: int) -> int:
        return self.first + position

    def ascends(self) -> bool:
        return True

    def highest(self) -> int:
        return self.first + self.count - 1

    def plain(self) -> I64 | int | None:
        return self.first

    def user(self) -> I64:
        return np.asarray(np.arange(self.count, dtype=np.int64) + np.int64(self.first))

    def encode(self, *, tail: bool) -> tuple[int, list[Any]]:  # noqa: ARG002 - of IdColumn
        return records.IDS_RANGE, [np.array([self.first], dtype="<i8")]


class StringColumn:
    """String ids as UTF-8: `blob[offsets[i]:offsets[i + 1]]` is the i-th."""

    __slots__ = ("_hashes", "_salt", "blob", "offsets")

    def __init__(self, offsets: npt.NDArray[Any], blob: U8, salt: HashKey, hashes: U64 | None = None) -> None:
        self.offsets = offsets
        self.blob = blob
        self._salt = salt
        self._hashes = hashes

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def keys(self) -> U64:
        if self._hashes is None:
            self._hashes = self._salt.hashes([self.raw(i) for i in range(len(self))])
        return self._hashes

    def raw(self, position: int) -> bytes:
        """UTF-8 bytes of one id."""
        return self.blob[self.offsets[position] : self.offsets[position + 1]].tobytes()

    def part(self, start: int, stop: int) -> StringColumn:
        offsets = self.offsets[start : stop + 1]
        blob = self.blob[offsets[0] : offsets[-1]]
        hashes = None if self._hashes is None else self._hashes[start:stop]
        return StringColumn(offsets - offsets[0], blob, self._salt, hashes)

    def take(self, positions: I64) -> StringColumn:
        raws = [self.raw(i) for i in positions.tolist()]
        hashes = None if self._hashes is None else self._hashes[positions]
        return string_column(raws, self._salt, hashes)

    def at(self, position: int) -> str:
        return _decoded(self.raw(position))

    def ascends(self) -> bool:
        """Not known of strings."""
        return False

    def highest(self) -> int:
        return -1

    def plain(self) -> I64 | int | None:
        return None

    def user(self) -> npt.NDArray[Any]:
        text = self.blob.tobytes()
        bounds = self.offsets.tolist()
        out = np.empty(len(self), dtype=object)
        out[:] = [_decoded(text[a:b]) for a, b in pairwise(bounds)]
        return out

    def encode(self, *, tail: bool) -> tuple[int, list[Any]]:
        parts: list[Any] = [self.offsets.astype("<u4"), np.ascontiguousarray(self.blob)]
        if not tail:
            return records.IDS_STRINGS, parts
        return records.IDS_HASHED_STRINGS, [self.keys().astype("<u8", copy=False), *parts]

    def matches(self, positions: I64, others: IdColumn, other_positions: I64) -> npt.NDArray[np.bool_]:
        """Whether the ids at `positions` equal those at `other_positions` of `others`."""
        assert isinstance(others, StringColumn)
        pairs = zip(positions.tolist(), other_positions.tolist(), strict=True)
        return np.fromiter((self.raw(a) == others.raw(b) for a, b in pairs), dtype=np.bool_, count=len(positions))


def _decoded(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise CorruptIndexError(f"a stored string id is not UTF-8 ({error})") from error


class HashKey:
    """The hash of string ids: BLAKE2b with the index's own key, so that nobody can choose colliding ids.

    `bits` below 64 serve tests of collisions only; an index always uses 64.
    """

    __slots__ = ("_key", "_mask")

    bits = 64

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._mask = np.uint64(2**self.bits - 1)

    def hashes(self, raws: Sequence[bytes]) -> U64:
        """UTF-8 ids -> u64 keys."""
        from hashlib import blake2b  # noqa: PLC0415 # for str ids alone

        key = self._key
        digests = b"".join([blake2b(raw, digest_size=8, key=key).digest() for raw in raws])
        return np.asarray(np.frombuffer(digests, dtype="<u8").astype(np.uint64) & self._mask)


def string_column(raws: Sequence[bytes], salt: HashKey, hashes: U64 | None = None) -> StringColumn:
    """A column of UTF-8 ids."""
    offsets = np.zeros(len(raws) + 1, dtype=np.int64)
    np.cumsum([len(raw) for raw in raws], out=offsets[1:])
    return StringColumn(offsets, np.frombuffer(b"".join(raws), dtype=np.uint8), salt, hashes)


class IdCodec:
    """Makes columns of an index's ids, from its caller's or from records."""

    __slots__ = ("id_type", "keys_are_ids", "salt")

    def __init__(self, id_type: IdType, hash_key: bytes) -> None:
        self.id_type: IdType = id_type
        self.keys_are_ids = id_type == "int64"
        """Whether equal keys are equal ids: for int64; keys of strings are hashes, and the strings must be compared."""
        self.salt = HashKey(hash_key)

    def column(self, ids: Any) -> IdColumn:
        """A column of ids that the index room has checked: an int64 array, or a sequence of str."""
        if self.id_type == "int64":
            values = np.asarray(ids)
            assert values.dtype.kind in "iu" or len(values) == 0, "int64 ids expected"
            return IntColumn(np.array(values, dtype=np.int64))
        raws = [text.encode() for text in ids]
        assert all(1 <= len(raw) <= LONGEST_ID for raw in raws), "string ids have 1 to 4,096 bytes"
        return string_column(raws, self.salt)

    def empty(self) -> IdColumn:
        """A column of no ids."""
        return IntColumn(np.empty(0, dtype=np.int64)) if self.id_type == "int64" else string_column([], self.salt)

    def concat(self, columns: Sequence[IdColumn]) -> IdColumn:
        """The ids of several columns, one after another."""
        if len(columns) == 1:
            return columns[0]
        if self.id_type == "int64":
            ranges = [column for column in columns if isinstance(column, RangeColumn)]
            if len(ranges) == len(columns) > 0 and all(b.first == a.first + a.count for a, b in pairwise(ranges)):
                return RangeColumn(ranges[0].first, sum(column.count for column in ranges))
            return IntColumn(
                np.concatenate([column.user() for column in columns]) if columns else np.empty(0, np.int64)
            )
        strings = [column for column in columns if isinstance(column, StringColumn)]
        if not strings:
            return self.empty()
        starts = np.cumsum([0, *(len(column.blob) for column in strings)])
        offsets = [
            column.offsets[:-1].astype(np.int64) + start for column, start in zip(strings, starts[:-1], strict=True)
        ]
        return StringColumn(
            np.concatenate([*offsets, starts[-1:]]),
            np.concatenate([column.blob for column in strings]),
            self.salt,
            np.concatenate([column.keys() for column in strings]),
        )

    def decode(self, record: Record, name: str) -> IdColumn:
        """The ids of a record, as views into it; every length is checked before it is used."""
        count, payload = record.entries, record.payload
        if self.id_type == "int64":
            if record.encoding == records.IDS_RANGE and len(payload) == 8:
                first = int.from_bytes(payload, "little", signed=True)
                if first + count - 1 <= 2**63 - 1:
                    return RangeColumn(first, count)
            if record.encoding == records.IDS_INT64 and len(payload) == 8 * count:
                return IntColumn(np.frombuffer(payload, dtype="<i8"))
            raise CorruptIndexError(f"{name}: {len(payload)} bytes of encoding {record.encoding} for {count} int64 ids")
        hashes = None
        if record.encoding == records.IDS_HASHED_STRINGS and len(payload) >= 8 * count:
            hashes = np.frombuffer(payload[: 8 * count], dtype="<u8")
            payload = payload[8 * count :]
        elif record.encoding != records.IDS_STRINGS:
            raise CorruptIndexError(f"{name}: encoding {record.encoding} is not one of string ids")
        if len(payload) >= 4 * (count + 1):
            offsets = np.frombuffer(payload[: 4 * (count + 1)], dtype="<u4")
            blob = np.frombuffer(payload[4 * (count + 1) :], dtype=np.uint8)
            lengths = offsets[1:] - offsets[:-1]  # what falls is a very long one, in uint32
            short = count == 0 or (int(lengths.min()) > 0 and int(lengths.max()) <= LONGEST_ID)
            if offsets[0] == 0 and offsets[-1] == len(blob) and short:
                return StringColumn(offsets, blob, self.salt, hashes)
        raise CorruptIndexError(f"{name}: its offsets do not fit {count} string ids of 1 to {LONGEST_ID} bytes")


def new_id_parts() -> Any:
    """An empty mapping of segments or chunks to int64 ids, as ``take_ids`` reads it; a dict where nothing does."""
    native = native_loops()
    return {} if native is None else native.IdParts()
