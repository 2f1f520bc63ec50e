"""A run of lists: rows joined in order of partition, in chunks of fixed size, and a directory of where lists begin."""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from pqstore.arrays import I64, U8
from pqstore.errors import CorruptIndexError
from pqstore.storage.format import records
from pqstore.storage.format.list_state import ListRunInfo
from pqstore.storage.format.records import Delete, Get, Put
from pqstore.storage.rows.packing import RowPacking

__all__ = ["LONGEST_SPAN", "ListReader", "ListWriter", "delete_list_run", "list_chunk_rows", "read_offsets"]

U32: TypeAlias = npt.NDArray[np.uint32]

LONGEST_SPAN: Final = 2**32
"""Row numbers of a run are stored as u32, counted from its first row."""
_CHUNK_BYTES: Final = (
    8 * 4096 - 16
)  # pages of LMDB without the header of the first: with that a record ends just inside
_BLOCK_ROWS: Final = 32


def list_chunk_rows(packing: RowPacking) -> int:
    """Rows of a chunk: the most whole blocks that fit eight pages, one block at least."""
    block = packing.packed_size(_BLOCK_ROWS) + 4 * _BLOCK_ROWS
    return _BLOCK_ROWS * max(1, (_CHUNK_BYTES - records.HEADER_BYTES) // block)


class ListWriter:
    """Appends rows to a run, list after list."""

    __slots__ = ("_chunk_rows", "_first_row", "_packing", "_put", "_rest", "_run", "rows")

    def __init__(self, run: int, first_row: int, packing: RowPacking, put: Put) -> None:
        self._run = run
        self._first_row = first_row
        self._packing = packing
        self._put = put
        self._chunk_rows = list_chunk_rows(packing)
        self._rest: tuple[npt.NDArray[Any], I64] | None = None
        self.rows = 0

    def go_on(self, rows: int, get: Get) -> None:
        """Continue a run that has so many rows: the last chunk is read, to be written anew."""
        self.rows = rows
        if rows % self._chunk_rows:
            ordinal, inside = divmod(rows, self._chunk_rows)
            packed, numbers = _read_chunk(get, self._run, ordinal, inside, self._packing)
            self._rest = self._packing.unpack(packed, inside), numbers.astype(np.int64) + self._first_row

    def append(self, codes: npt.NDArray[Any], rows: I64) -> None:
        """Rows in order of partition, and of their numbers within one."""
        first = self.rows // self._chunk_rows
        self.rows += len(rows)
        if self._rest is not None:
            codes, rows = np.concatenate((self._rest[0], codes)), np.concatenate((self._rest[1], rows))
        for ordinal, start in enumerate(range(0, len(rows), self._chunk_rows), first):
            part = slice(start, start + self._chunk_rows)
            self._write(ordinal, codes[part], rows[part])
        rest = len(rows) % self._chunk_rows
        self._rest = (codes[len(rows) - rest :], rows[len(rows) - rest :]) if rest else None

    def _write(self, ordinal: int, codes: npt.NDArray[Any], rows: I64) -> None:
        packed = np.zeros(self._packing.packed_size(-(-len(rows) // _BLOCK_ROWS) * _BLOCK_ROWS), dtype=np.uint8)
        content = self._packing.pack(codes)
        packed[: len(content)] = content
        parts = [packed, (rows - self._first_row).astype("<u4")]
        record = records.pack_record(records.LIST_CHUNK, self._run, ordinal, len(rows), parts)
        self._put("runchunks", records.key2(self._run, ordinal), record)

    def finish(self, offsets: I64) -> None:
        """The directory: where each list begins, int64 (P + 1)."""
        parts = [self._first_row.to_bytes(8, "little"), offsets.astype("<u4")]
        record = records.pack_record(records.LIST_DIRECTORY, self._run, 0, self.rows, parts)
        self._put("runs", records.key1(self._run), record)


def read_offsets(run: int, rows: int, partitions: int, get: Get) -> tuple[int, U32]:
    """(first row, where each list begins: uint32 (partitions + 1)), copied. Raises `CorruptIndexError`."""
    name = records.record_name(records.LIST_DIRECTORY, run)
    record = records.open_record(get("runs", records.key1(run)), records.LIST_DIRECTORY, run)
    if record.entries != rows or len(record.payload) != 8 + 4 * (partitions + 1):
        raise CorruptIndexError(
            f"{name}: {record.entries} rows in {len(record.payload)} bytes, not {rows} in {partitions} lists"
        )
    offsets = np.frombuffer(record.payload, dtype="<u4", offset=8).astype(np.uint32)
    first_row = int.from_bytes(record.payload[:8], "little")
    if offsets[0] != 0 or offsets[-1] != rows or np.any(offsets[1:] < offsets[:-1]):
        raise CorruptIndexError(f"{name}: its lists do not ascend from 0 to {rows}")
    if first_row > 2**62:
        raise CorruptIndexError(f"{name}: names row {first_row}")
    return first_row, offsets


def _read_chunk(get: Get, run: int, ordinal: int, rows: int, packing: RowPacking) -> tuple[U8, U32]:
    """(packed codes, row numbers) of a chunk, as views."""
    key = records.key2(run, ordinal)
    record = records.open_record(get("runchunks", key), records.LIST_CHUNK, run, ordinal)
    size = packing.packed_size(-(-rows // _BLOCK_ROWS) * _BLOCK_ROWS)
    if record.entries != rows or len(record.payload) != size + 4 * rows:
        raise CorruptIndexError(
            f"{records.record_name(records.LIST_CHUNK, run, ordinal)}: {len(record.payload)} bytes for "
            f"{record.entries} rows, not {size + 4 * rows} for {rows}"
        )
    packed = np.frombuffer(record.payload, dtype=np.uint8, count=size)
    return packed, np.frombuffer(record.payload, dtype="<u4", offset=size)


class ListReader:
    """One run. It never changes, and most chunks lie in pages of their own: a view of one is good under every
    transaction in which the run exists."""

    __slots__ = ("_chunks", "_packing", "chunk_rows", "first_row", "info", "offsets", "prepared")

    def __init__(self, info: ListRunInfo, partitions: int, packing: RowPacking, get: Get) -> None:
        self.info = info
        self.chunk_rows = list_chunk_rows(packing)
        self.first_row, self.offsets = read_offsets(info.run, info.rows, partitions, get)
        self._packing = packing
        self._chunks: dict[int, tuple[U8, U32]] = {}
        self.prepared: Any = None
        """What the index room keeps with it."""

    @property
    def chunk_count(self) -> int:
        return -(-self.info.rows // self.chunk_rows)

    def rows_in_chunk(self, ordinal: int) -> int:
        """How many rows a chunk has."""
        return min(self.chunk_rows, self.info.rows - ordinal * self.chunk_rows)

    def chunk(self, ordinal: int, get: Get) -> tuple[U8, U32]:
        """(packed codes, row numbers minus `first_row`) of a chunk, checked when it is first read."""
        chunk = self._chunks.get(ordinal)
        if chunk is None:
            packed, numbers = self.read_chunk(ordinal, get)
            if packed.nbytes + numbers.nbytes < records.OWN_PAGES:
                packed, numbers = packed.copy(), numbers.copy()  # it shares its page, which a later commit may move
            chunk = self._chunks[ordinal] = packed, numbers
        return chunk

    def is_read(self, ordinal: int) -> bool:
        """Whether a chunk was read before."""
        return ordinal in self._chunks

    def key_of(self, ordinal: int) -> bytes:
        """The key of a chunk in the database "runchunks"."""
        return records.key2(self.info.run, ordinal)

    def read_chunk(self, ordinal: int, get: Get) -> tuple[U8, U32]:
        """The same, read and checked anew."""
        return _read_chunk(get, self.info.run, ordinal, self.rows_in_chunk(ordinal), self._packing)

    def lists(self, first: int, end: int, get: Get) -> tuple[npt.NDArray[Any], I64]:
        """(codes (n, M), rows int64 (n,)) of the lists of partitions ``first .. end - 1``, copied."""
        start, stop = int(self.offsets[first]), int(self.offsets[end])
        codes, rows = [self._packing.unpack(np.empty(0, dtype=np.uint8), 0)], [np.empty(0, dtype=np.int64)]
        while start < stop:
            ordinal, place = divmod(start, self.chunk_rows)
            count = min(stop - start, self.rows_in_chunk(ordinal) - place)
            packed, numbers = self.read_chunk(ordinal, get)
            whole = place - place % _BLOCK_ROWS
            unpacked = self._packing.unpack(packed[self._packing.packed_size(whole) :], place - whole + count)
            codes.append(unpacked[place - whole :])
            rows.append(numbers[place : place + count].astype(np.int64) + self.first_row)
            start += count
        return np.concatenate(codes), np.concatenate(rows)


def delete_list_run(run: int, rows: int, packing: RowPacking, delete: Delete) -> None:
    """Remove a run's records."""
    for ordinal in range(-(-rows // list_chunk_rows(packing))):
        delete("runchunks", records.key2(run, ordinal))
    delete("runs", records.key1(run))
