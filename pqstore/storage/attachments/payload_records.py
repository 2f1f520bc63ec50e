"""Payloads: maps of what msgpack can carry. Those of neighbouring rows lie together in records of a few pages."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

import msgpack
import numpy as np
import numpy.typing as npt

from pqstore.arrays import I64
from pqstore.errors import CorruptIndexError, InvalidPayloadError
from pqstore.native import native_loops
from pqstore.storage.attachments.plain_values import PLAIN_SCALARS, plain_payload, plain_value
from pqstore.storage.format import records
from pqstore.storage.format.catalog import MAX_NAMES

__all__ = [
    "MAX_PAYLOAD_BYTES",
    "PackedPayloads",
    "PayloadPacker",
    "PayloadRecord",
    "Unreadable",
    "open_payloads",
    "pack_payloads",
    "payloads_of",
    "unpack_payload",
]

MAX_PAYLOAD_BYTES: Final = 64 << 20

# A record of at most so many bytes fills four pages of LMDB, whose own header takes 16. A payload that is larger
# than that has a record of its own.
RECORD_BYTES: Final = 4 * 4096 - 16
_ROOM: Final = RECORD_BYTES - records.HEADER_BYTES
_END_BYTES: Final = 4  # of a row in a record, beside its payload


Unreadable: TypeAlias = "Callable[[int, CorruptIndexError], None]"
"""Told of each row whose payload cannot be read; it counts as none then."""


class PackedPayloads(NamedTuple):
    """Payloads of consecutive rows: ``content[ends[at - 1]:ends[at]]``, of no bytes for a row without one."""

    content: bytes | memoryview
    ends: I64

    @classmethod
    def none(cls, rows: int) -> PackedPayloads:
        """Of rows without one."""
        return cls(b"", np.zeros(rows, dtype=np.int64))

    @classmethod
    def of(cls, parts: Sequence[bytes | memoryview]) -> PackedPayloads:
        """Out of the bytes of each row."""
        lengths = np.fromiter(map(len, parts), dtype=np.int64, count=len(parts))
        return cls(b"".join(parts), np.cumsum(lengths))

    def part(self, start: int, stop: int) -> PackedPayloads:
        """Those of some of the rows."""
        base = int(self.ends[start - 1]) if start else 0
        return PackedPayloads(
            memoryview(self.content)[base : int(self.ends[stop - 1])] if stop > start else b"",
            self.ends[start:stop] - base,
        )

    def followed_by(self, other: PackedPayloads) -> PackedPayloads:
        """These, then others."""
        shift = int(self.ends[-1]) if len(self.ends) else 0
        return PackedPayloads(b"".join((self.content, other.content)), np.concatenate((self.ends, other.ends + shift)))


class PayloadPacker:
    """Packs payloads. Top-level keys become numbers, which are short; keys not seen before get the next ones."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = list(names)
        self._numbers: dict[str, int | str] = {name: number for number, name in enumerate(names)}
        self._pack = msgpack.Packer(use_bin_type=True, datetime=True).pack

    def pack_all(self, payloads: list[Any]) -> PackedPayloads:
        """Payloads, or None, of one row after another.

        What is packed is what is in the list afterwards: payloads with values that are not plain are replaced there by
        plain ones.

        Raises:
            InvalidPayloadError: as `pack`.
        """

        def pack(payload: Any, position: int) -> bytes:
            content, payloads[position] = self.pack(payload, position)
            return content

        native = native_loops()
        if native is not None:
            ends = np.empty(len(payloads), dtype=np.int64)
            # What the compiled code does not know goes through `pack`, which also says what is wrong with it.
            numbers, most = self._numbers, MAX_PAYLOAD_BYTES
            return PackedPayloads(native.pack_payloads(payloads, numbers, plain_value, pack, most, ends), ends)
        return PackedPayloads.of([b"" if p is None else pack(p, at) for at, p in enumerate(payloads)])

    def pack(self, payload: Any, position: int) -> tuple[bytes, dict[str, Any]]:
        """(msgpack bytes, the plain payload that they hold). `position` is the caller's number, for messages.

        Raises:
            InvalidPayloadError: not a map with str keys, a value that could not be read again, or more than 64 MiB.
        """
        simple = type(payload) is dict and PLAIN_SCALARS.issuperset(map(type, payload.values()))
        plain = payload if simple and set(map(type, payload)) <= {str} else plain_payload(payload, position)
        numbers = self._numbers
        for key in plain:
            if key not in numbers:
                self._give_number(key, position)
        try:
            content: bytes = self._pack({numbers[key]: value for key, value in plain.items()})
        except (ValueError, OverflowError, RecursionError) as error:
            plain_payload(payload, position)  # says which value it was
            raise InvalidPayloadError(f"payload {position} cannot be stored: it is nested too deeply") from error
        if len(content) > MAX_PAYLOAD_BYTES:
            raise InvalidPayloadError(f"payload {position} takes {len(content)} bytes, {MAX_PAYLOAD_BYTES} at most")
        return content, plain

    def _give_number(self, name: str, position: int) -> None:
        try:
            name.encode()
        except UnicodeEncodeError as error:
            raise InvalidPayloadError(f"payload {position} has a key that is not valid Unicode: {error}") from error
        if len(self.names) < MAX_NAMES:
            self._numbers[name] = len(self.names)
            self.names.append(name)
        else:
            self._numbers[name] = name


class PayloadRecord(NamedTuple):
    """The payloads of rows `first_row ..`, as they are stored."""

    first_row: int
    ends: npt.NDArray[np.uint32]
    content: memoryview

    @property
    def stop(self) -> int:
        """One more than its last row."""
        return self.first_row + len(self.ends)

    def of(self, row: int) -> memoryview:
        """The msgpack bytes of one of its rows; none when it has no payload."""
        at = row - self.first_row
        return self.content[int(self.ends[at - 1]) if at else 0 : int(self.ends[at])]

    def before(self, row: int) -> PackedPayloads:
        """Those of its rows before `row`."""
        ends = self.ends[: row - self.first_row].astype(np.int64)
        return PackedPayloads(self.content[: int(ends[-1]) if len(ends) else 0], ends)

    def contents(self, start: int, stop: int) -> Iterator[tuple[int, memoryview]]:
        """(row, msgpack bytes) of its rows from `start` up to `stop` that have a payload."""
        begin = 0
        for row, end in enumerate(self.ends.tolist(), self.first_row):
            if end > begin and start <= row < stop:
                yield row, self.content[begin:end]
            begin = end


def pack_payloads(first_row: int, packed: PackedPayloads) -> Iterator[tuple[int, bytes]]:
    """(first row, record) of rows of one segment, one record after another."""
    content = memoryview(packed.content)
    cost = packed.ends + _END_BYTES * np.arange(1, len(packed.ends) + 1)
    at = 0
    while at < len(cost):
        before = int(cost[at - 1]) if at else 0
        stop = max(at + 1, int(np.searchsorted(cost, before + _ROOM, side="right")))
        base = int(packed.ends[at - 1]) if at else 0
        ends = (packed.ends[at:stop] - base).astype("<u4")
        parts = [ends, content[base : int(packed.ends[stop - 1])]]
        yield first_row + at, records.pack_record(records.PAYLOADS, first_row + at, 0, stop - at, parts)
        at = stop


def open_payloads(value: memoryview | None, first_row: int) -> PayloadRecord:
    """The payloads of a stored record, which lie in `value`.

    Raises:
        CorruptIndexError: names the rows.
    """
    return payloads_of(records.open_record(value, records.PAYLOADS, first_row), first_row)


def payloads_of(record: records.Record, first_row: int) -> PayloadRecord:
    """The payloads of a record that was checked."""
    size = _END_BYTES * record.entries
    ends = np.frombuffer(record.payload[:size], dtype="<u4") if size <= len(record.payload) else np.empty(0, "<u4")
    content = record.payload[size:]
    if len(ends) == 0 or int(ends[-1]) != len(content) or (ends[1:] < ends[:-1]).any():
        name = records.record_name(records.PAYLOADS, first_row)
        raise CorruptIndexError(f"{name}: its places do not divide its {len(content)} bytes")
    return PayloadRecord(first_row, ends, content)


def unpack_payload(content: bytes | memoryview, row: int, names: Sequence[str]) -> dict[str, Any]:
    """The payload of a row out of its msgpack bytes. Datetimes are in UTC.

    Raises:
        CorruptIndexError: names the row.
    """
    try:
        plain = msgpack.unpackb(content, raw=False, timestamp=3, strict_map_key=False)
        none = len(names)  # no name has this number: what is neither a name nor the number of one is damage
        return {
            name if type(name) is str else names[name if type(name) is int and name >= 0 else none]: entry
            for name, entry in plain.items()
        }
    except (ValueError, TypeError, OverflowError, AttributeError, IndexError, msgpack.UnpackException) as error:
        raise CorruptIndexError(f"payload of row {row}: cannot be read ({error})") from error
