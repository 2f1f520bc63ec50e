"""What every byte of format 1 means: record header, keys, encodings. The only place that knows bytes.

`docs/format.md` tells the same in prose; `tests/format/test_layout_document.py` holds the two together.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from pqstore.arrays import I64, U8, U64
from pqstore.errors import CorruptIndexError, FormatVersionError
from pqstore.kernels.checksum import crc32

__all__ = [
    "ARRAY",
    "CATALOG",
    "CATALOG_KEY",
    "CODES",
    "COLUMN_CODES",
    "COLUMN_IDS",
    "DATABASES",
    "EXACT_ROWS",
    "EXPIRY",
    "FEATURES",
    "FIELD",
    "FIELD_TAIL",
    "FORMAT_VERSION",
    "HEADER_BYTES",
    "I64",
    "IDENTITY",
    "IDENTITY_KEY",
    "IDS_HASHED_STRINGS",
    "IDS_INT64",
    "IDS_RANGE",
    "IDS_STRINGS",
    "KIND_NAMES",
    "LISTS",
    "LISTS_KEY",
    "LIST_CHUNK",
    "LIST_DIRECTORY",
    "LIST_STATE",
    "MAGIC",
    "NUMBERED_STATES",
    "ORIGINALS_CRC_BYTES",
    "OWN_PAGES",
    "PARTITIONS",
    "PARTITION_TABLE",
    "PAYLOADS",
    "ROWIDS",
    "ROWS_U32",
    "ROWS_U64",
    "RUN_CHUNK",
    "RUN_CHUNK_ENTRIES",
    "RUN_DIRECTORY",
    "SEGMENT",
    "SET_CHUNK",
    "SET_CHUNK_IDS",
    "STAGED",
    "STAGED_KEY",
    "STATE",
    "STATE_KEY",
    "TAIL_CODES",
    "TAIL_IDS",
    "TOMBSTONES",
    "TRAINED_HERE",
    "U8",
    "U64",
    "VECTORLESS",
    "VECTORLESS_KEY",
    "Delete",
    "Get",
    "Put",
    "Record",
    "array_name",
    "claimed_bytes",
    "key1",
    "key2",
    "open_record",
    "originals_name",
    "originals_segment",
    "pack_array",
    "pack_record",
    "pack_segment",
    "peek",
    "record_name",
    "tail_kind",
    "unpack_array",
    "unpack_segment",
    "unpack_segments",
]


# How the rooms above reach records: by the name of a database and a key.
Get: TypeAlias = Callable[[str, bytes], "memoryview | None"]
Put: TypeAlias = Callable[[str, bytes, bytes], None]
Delete: TypeAlias = Callable[[str, bytes], None]

MAGIC: Final = b"PQS1"
FORMAT_VERSION: Final = 1
NUMBERED_STATES: Final = "numbered-states"  # each state names the transaction of LMDB that wrote it
LISTS: Final = "lists"  # codes also lie in inverted lists
EXACT_ROWS: Final = "exact-rows"  # codes are the vectors themselves, float32
TRAINED_HERE: Final = "trained-here"  # settings say how the quantizer was trained, of rows of this index
VECTORLESS: Final = "vectorless"  # rows may have no vector: their payloads hold the key below, which is a field
VECTORLESS_KEY: Final = "$pqstore vectorless"
EXPIRY: Final = "expiry"  # the state names a field that says when rows end: who does not know it would show them
# That this version understands; format 1 as released has none.
FEATURES: Final = frozenset({NUMBERED_STATES, LISTS, EXACT_ROWS, TRAINED_HERE, VECTORLESS, EXPIRY})

# magic, format, kind, encoding, key 0, key 1, count, payload bytes, reserved (zero), CRC-32 of all the rest
_HEADER: Final = struct.Struct("<4sBBHQQQQII")
HEADER_BYTES: Final = _HEADER.size
_CRC_OFFSET: Final = HEADER_BYTES - 4

# Kinds of records
IDENTITY: Final = 1
STATE: Final = 2
STAGED: Final = 3
ARRAY: Final = 4
SEGMENT: Final = 5
CODES: Final = 6
ROWIDS: Final = 7
TOMBSTONES: Final = 8
TAIL_CODES: Final = 9
TAIL_IDS: Final = 10
RUN_DIRECTORY: Final = 11
RUN_CHUNK: Final = 12
CATALOG: Final = 13
FIELD: Final = 14
FIELD_TAIL: Final = 15
PAYLOADS: Final = 16
SET_CHUNK: Final = 17
LIST_STATE: Final = 18
PARTITION_TABLE: Final = 19
PARTITIONS: Final = 20
LIST_DIRECTORY: Final = 21
LIST_CHUNK: Final = 22

KIND_NAMES: Final = {
    IDENTITY: "identity",
    STATE: "state",
    STAGED: "staged",
    ARRAY: "array",
    SEGMENT: "segment",
    CODES: "codes",
    ROWIDS: "rowids",
    TOMBSTONES: "tombstones",
    TAIL_CODES: "tail codes",
    TAIL_IDS: "tail ids",
    RUN_DIRECTORY: "run directory",
    RUN_CHUNK: "run chunk",
    CATALOG: "catalog",
    FIELD: "field column",
    FIELD_TAIL: "tail field column",
    PAYLOADS: "payloads",
    SET_CHUNK: "set chunk",
    LIST_STATE: "list state",
    PARTITION_TABLE: "partition table",
    PARTITIONS: "partitions",
    LIST_DIRECTORY: "list directory",
    LIST_CHUNK: "list chunk",
}

# Named databases; later columns come as further names
DATABASES: Final = (
    "meta",
    "quantizer",
    "segments",
    "codes",
    "rowids",
    "tombstones",
    "tail",
    "runs",
    "runchunks",
    "payloads",
    "fields",
    "tailfields",
    "sets",
)
IDENTITY_KEY: Final = b"identity"
STATE_KEY: Final = b"state"
STAGED_KEY: Final = b"staged"
CATALOG_KEY: Final = b"catalog"
LISTS_KEY: Final = b"lists"
COLUMN_CODES: Final = 0
COLUMN_IDS: Final = 1

# Encodings of id records (rowids and tail ids)
IDS_INT64: Final = 0
IDS_RANGE: Final = 1
IDS_STRINGS: Final = 2
IDS_HASHED_STRINGS: Final = 3

# Encodings of run chunks
ROWS_U32: Final = 0
ROWS_U64: Final = 1

# With header, base and LMDB's page header 16,376 entries of 12 bytes end just inside 48 pages of 4 KiB.
RUN_CHUNK_ENTRIES: Final = 16_376

SET_CHUNK_IDS: Final = 65_536

_KEY1: Final = struct.Struct(">Q")
_KEY2: Final = struct.Struct(">QQ")
_SEGMENT: Final = struct.Struct("<QQ")  # dead rows, commit of the last change of its tombstones
_SEGMENT_MARK: Final = struct.pack("<4sBBH", MAGIC, FORMAT_VERSION, SEGMENT, 0)  # how its header begins
_SEGMENT_ENTRY: Final = np.dtype(  # header and payload
    [
        *[(name, "<u8") for name in ("mark", "segment", "key_1", "rows", "bytes")],
        *[(name, "<u4") for name in ("reserved", "checksum")],
        *[(name, "<u8") for name in ("dead", "stamp")],
    ]
)

key1 = _KEY1.pack
key2 = _KEY2.pack


class Record(NamedTuple):
    """A record whose header, length and checksum have been found right."""

    encoding: int
    entries: int
    payload: memoryview


def tail_kind(column: int) -> int:
    """The record kind of a tail column."""
    return TAIL_CODES if column == COLUMN_CODES else TAIL_IDS


# How messages name records; those not listed belong to a segment, key 0
_NAMES: Final = {
    IDENTITY: "{name}",
    STATE: "{name}",
    STAGED: "{name}",
    ARRAY: "{name}",
    CATALOG: "{name}",
    TAIL_CODES: "{name} of chunk {key_1}",
    TAIL_IDS: "{name} of chunk {key_1}",
    RUN_CHUNK: "{name} {key_1} of run {key_0}",
    RUN_DIRECTORY: "directory of run {key_0}",
    FIELD: "{name} {key_1} of segment {key_0}",
    FIELD_TAIL: "{name} {key_1} of chunk {key_0}",
    PAYLOADS: "{name} from row {key_0} on",
    SET_CHUNK: "{name} {key_1} of set {key_0}",
    LIST_STATE: "{name}",
    PARTITION_TABLE: "{name} {key_0}",
    PARTITIONS: "{name} {key_1} of table {key_0}",
    LIST_DIRECTORY: "{name} of run {key_0}",
    LIST_CHUNK: "{name} {key_1} of run {key_0}",
}


def record_name(kind: int, key_0: int = 0, key_1: int = 0) -> str:
    """How messages name a record."""
    name = KIND_NAMES.get(kind, f"kind {kind}")
    return _NAMES.get(kind, "{name} of segment {key_0}").format(name=name, key_0=key_0, key_1=key_1)


def pack_record(
    kind: int, key_0: int, key_1: int, count: int, parts: list[Any], encoding: int = 0, version: int = FORMAT_VERSION
) -> bytes:
    """Header and the payload `parts` (buffers, or C-contiguous arrays) as one buffer."""
    length = sum([memoryview(part).nbytes for part in parts])
    head = _HEADER.pack(MAGIC, version, kind, encoding, key_0, key_1, count, length, 0, 0)[:_CRC_OFFSET]
    checksum = crc32(head)
    for part in parts:
        checksum = crc32(part, checksum)
    return b"".join((head, checksum.to_bytes(4, "little"), *parts))


def _checksum(record: memoryview) -> int:
    return crc32(record[HEADER_BYTES:], crc32(record[:_CRC_OFFSET]))


def open_record(
    value: memoryview | None, kind: int, key_0: int = 0, key_1: int = 0, *, checksum: bool = True
) -> Record:
    """Check a stored value against the header it must have and give its payload, which lies in `value`.

    Raises `CorruptIndexError` naming the record, or `FormatVersionError` when a newer pqstore wrote it.
    """
    place = kind, key_0, key_1
    if value is None:
        raise CorruptIndexError(f"{record_name(*place)}: the record is missing")
    if len(value) < HEADER_BYTES:
        raise CorruptIndexError(f"{record_name(*place)}: {len(value)} bytes are shorter than a record header")
    magic, version, its_kind, encoding, its_0, its_1, count, length, reserved, crc = _HEADER.unpack_from(value)
    if magic != MAGIC:
        raise CorruptIndexError(f"{record_name(*place)}: does not begin with the mark of a pqstore record")
    if checksum and crc != _checksum(value):
        # A record of a newer format keeps magic, version and checksum in place: tell the two apart by the checksum.
        raise CorruptIndexError(f"{record_name(*place)}: the checksum does not match its bytes")
    if version > FORMAT_VERSION:
        raise FormatVersionError(
            f"{record_name(*place)} is of format {version}; this pqstore reads format {FORMAT_VERSION}: upgrade pqstore"
        )
    if (version, its_kind, its_0, its_1, reserved) != (FORMAT_VERSION, kind, key_0, key_1, 0):
        raise CorruptIndexError(f"{record_name(*place)}: holds the {record_name(its_kind, its_0, its_1)} instead")
    if length != len(value) - HEADER_BYTES:
        raise CorruptIndexError(
            f"{record_name(*place)}: the header says {length} payload bytes, there are {len(value) - HEADER_BYTES}"
        )
    return Record(encoding, count, value[HEADER_BYTES:])


def claimed_bytes(header: memoryview) -> int:
    """How long the record is, as its header says; 0 when none of a kind that is known begins here."""
    if len(header) < HEADER_BYTES:
        return 0
    magic, version, kind, _, _, _, _, length, _, _ = _HEADER.unpack_from(header)
    known = magic == MAGIC and version == FORMAT_VERSION and kind in KIND_NAMES
    return HEADER_BYTES + length if known else 0


def peek(value: memoryview) -> tuple[int, int, int, int] | None:
    """(kind, key 0, key 1, bytes of the whole record) when a sound record of this format begins here, else None."""
    if len(value) < HEADER_BYTES:
        return None
    magic, version, kind, _, key_0, key_1, _, length, _, crc = _HEADER.unpack_from(value)
    if magic != MAGIC or version != FORMAT_VERSION or kind not in KIND_NAMES or length > len(value) - HEADER_BYTES:
        return None
    size = HEADER_BYTES + length
    return (kind, key_0, key_1, size) if crc == _checksum(value[:size]) else None


def pack_segment(segment: int, rows: int, dead: int, stamp: int) -> bytes:
    """The entry of a sealed segment: its rows, how many are dead, and the commit that last changed its tombstones."""
    return pack_record(SEGMENT, segment, 0, rows, [_SEGMENT.pack(dead, stamp)])


def unpack_segment(value: memoryview, segment: int) -> tuple[int, int, int]:
    """(rows, dead, stamp) of a segment entry."""
    record = open_record(value, SEGMENT, segment)
    if len(record.payload) != _SEGMENT.size:
        raise CorruptIndexError(f"{record_name(SEGMENT, segment)}: {len(record.payload)} payload bytes, not 16")
    dead, stamp = _SEGMENT.unpack(record.payload)
    return record.entries, dead, stamp


def unpack_segments(items: list[tuple[memoryview, memoryview]]) -> Iterator[tuple[int, int, int, int]]:
    """(segment, rows, dead, stamp) of many entries, given by key and value; there may be thousands of them."""
    size = HEADER_BYTES + _SEGMENT.size
    raw = b"".join([value if len(value) == size else bytes(size) for _, value in items])
    checksums = [
        crc32(raw[at + HEADER_BYTES : at + size], crc32(raw[at : at + _CRC_OFFSET])) for at in range(0, len(raw), size)
    ]
    entries = np.frombuffer(raw, dtype=_SEGMENT_ENTRY)
    segments = np.frombuffer(b"".join([key if len(key) == 8 else b"\xff" * 8 for key, _ in items]), dtype=">u8")
    sound = (entries["mark"] == int.from_bytes(_SEGMENT_MARK, "little")) & (entries["segment"] == segments)
    sound &= (entries["key_1"] == 0) & (entries["bytes"] == _SEGMENT.size) & (entries["reserved"] == 0)
    sound &= entries["checksum"] == np.array(checksums, dtype=np.uint32)
    for at in np.flatnonzero(~sound).tolist():
        unpack_segment(items[at][1], int(segments[at]))  # says what is wrong with it
    return zip(*(entries[name].tolist() for name in ("segment", "rows", "dead", "stamp")), strict=True)


_ARRAY_PREFIX: Final = struct.Struct("<HHH10x")  # bytes of the name, bytes of the dtype, dimensions: 16 in all
_MOST_DIMENSIONS: Final = 8
_DTYPE: Final = re.compile(rb"[|<][biufc][1-9][0-9]?")  # plain numbers, as NumPy writes their types


def pack_array(name: str, array: npt.NDArray[Any]) -> bytes:
    """A named array, little-endian and C-contiguous: prefix, shape (u64 each), name, dtype, padding to 16, values."""
    little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).reshape(array.shape)
    name_bytes, dtype_bytes = name.encode(), little.dtype.str.encode()
    head = _ARRAY_PREFIX.pack(len(name_bytes), len(dtype_bytes), little.ndim)
    head += struct.pack(f"<{little.ndim}Q", *little.shape) + name_bytes + dtype_bytes
    head += bytes(-len(head) % 16)
    return pack_record(ARRAY, 0, 0, little.size, [head, little.reshape(-1).view(np.uint8)])


def array_name(value: memoryview) -> str:
    """The name in a sound array record."""
    return _description(open_record(value, ARRAY), "array")[0]


def unpack_array(value: memoryview | None, name: str) -> npt.NDArray[Any]:
    """The array of a record, copied."""
    record = open_record(value, ARRAY)
    stored_name, dtype, shape, at = _description(record, f"array {name!r}")
    if stored_name != name:
        raise CorruptIndexError(f"array {name!r}: the record holds {stored_name!r}")
    count, size = math.prod(shape), len(record.payload) - at
    spanned = math.prod(max(1, length) for length in shape)  # of an empty array too, what NumPy can count
    if count != record.entries or count * dtype.itemsize != size or spanned > max(count, 2**31):
        raise CorruptIndexError(
            f"array {name!r}: {record.entries} values, {size} bytes of them, for a shape of {shape} and {dtype}"
        )
    array: npt.NDArray[Any] = np.frombuffer(record.payload[at:], dtype=dtype).reshape(shape)
    return array.copy()


def _description(record: Record, where: str) -> tuple[str, np.dtype[Any], tuple[int, ...], int]:
    """(name, dtype, shape, where its values begin) of an array."""
    payload = record.payload
    if len(payload) < _ARRAY_PREFIX.size:
        raise CorruptIndexError(f"{where}: {len(payload)} bytes do not describe an array")
    name_size, dtype_size, ndim = _ARRAY_PREFIX.unpack_from(payload)
    at = _ARRAY_PREFIX.size + 8 * ndim
    values = at + name_size + dtype_size
    values += -values % 16
    if ndim > _MOST_DIMENSIONS or values > len(payload):
        raise CorruptIndexError(f"{where}: {ndim} dimensions and names of {name_size} and {dtype_size} bytes")
    shape = struct.unpack_from(f"<{ndim}Q", payload, _ARRAY_PREFIX.size)
    name, kind = bytes(payload[at : at + name_size]), bytes(payload[at + name_size :][:dtype_size])
    if not _DTYPE.fullmatch(kind):
        raise CorruptIndexError(f"{where}: {kind[:20]!r} is no type of numbers")
    try:
        return name.decode(), np.dtype(kind.decode()), shape, values
    except (UnicodeDecodeError, TypeError) as error:  # a name that is no text; a size that no number has
        raise CorruptIndexError(f"{where}: its description cannot be read ({error})") from error


# Files of originals: named by segment; each row is followed by its CRC-32.
ORIGINALS_CRC_BYTES: Final = 4

# Values of at least this size have pages of their own, which LMDB neither moves nor changes
OWN_PAGES: Final = 4096


def originals_name(segment: int) -> str:
    """The file of a segment's originals."""
    return f"segment-{segment:08d}"


def originals_segment(name: str) -> int | None:
    """The segment that a file belongs to; None for other names."""
    number = name.removeprefix("segment-")
    return int(number) if number != name and number.isdecimal() and originals_name(int(number)) == name else None
