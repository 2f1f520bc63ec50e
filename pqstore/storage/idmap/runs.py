"""A sorted run of the id map: keys ascending, in chunks of fixed size, and a directory of their last keys."""

from __future__ import annotations

from bisect import bisect_left

import numpy as np

from pqstore.arrays import I64, U64
from pqstore.errors import CorruptIndexError
from pqstore.storage.format import records
from pqstore.storage.format.records import Get
from pqstore.storage.idmap.search import Candidates, search

__all__ = ["RunReader", "chunk_of", "pack_chunk", "pack_directory", "unpack_chunk", "unpack_directory"]

_CHUNK_PREFIX = 8
_ROWS = 1 << 63  # rows are int64
_SINGLY = 4  # so few keys in a chunk are looked up one by one


def pack_chunk(run: int, ordinal: int, keys: U64, rows: I64) -> bytes:
    """A chunk: base row u64, keys u64, rows minus base as u32 (as u64 with base 0 when they span more)."""
    base, highest = int(rows.min()), int(rows.max())
    if highest - base < 2**32:
        encoding, offsets = records.ROWS_U32, (rows - base).astype("<u4")
    else:
        encoding, base, offsets = records.ROWS_U64, 0, rows.astype("<u8")
    parts = [base.to_bytes(8, "little"), np.ascontiguousarray(keys, dtype="<u8"), offsets]
    return records.pack_record(records.RUN_CHUNK, run, ordinal, len(keys), parts, encoding)


def unpack_chunk(value: memoryview | None, run: int, ordinal: int) -> tuple[U64, np.ndarray, int]:
    """(keys, row offsets, base row) of a chunk, as views."""
    return chunk_of(records.open_record(value, records.RUN_CHUNK, run, ordinal), run, ordinal)


def chunk_of(record: records.Record, run: int, ordinal: int) -> tuple[U64, np.ndarray, int]:
    """The same of a record that has been opened."""
    name = records.record_name(records.RUN_CHUNK, run, ordinal)
    width = {records.ROWS_U32: 4, records.ROWS_U64: 8}.get(record.encoding)
    count, payload = record.entries, record.payload
    if width is None or count == 0 or len(payload) != _CHUNK_PREFIX + count * (8 + width):
        raise CorruptIndexError(f"{name}: {len(payload)} bytes of encoding {record.encoding} for {count} entries")
    base = int.from_bytes(payload[:_CHUNK_PREFIX], "little")
    keys = np.frombuffer(payload, dtype="<u8", count=count, offset=_CHUNK_PREFIX)
    offsets = np.frombuffer(payload, dtype=f"<u{width}", count=count, offset=_CHUNK_PREFIX + 8 * count)
    if base + int(offsets.max()) >= _ROWS:
        raise CorruptIndexError(f"{name}: names row {base + int(offsets.max())}")
    if not keys.flags.aligned:
        keys = keys.copy()  # a short chunk lies anywhere in a page, and memoryview cannot index what is not aligned
    return keys, offsets, base


def pack_directory(run: int, entries: int, last_keys: U64) -> bytes:
    """The directory of a run: the last key of every chunk."""
    return records.pack_record(records.RUN_DIRECTORY, run, 0, entries, [np.ascontiguousarray(last_keys, dtype="<u8")])


def unpack_directory(value: memoryview | None, run: int, chunk_entries: int) -> tuple[int, U64]:
    """(entries, last keys) of a run whose chunks have so many entries; the keys copied."""
    record = records.open_record(value, records.RUN_DIRECTORY, run)
    chunks = -(-record.entries // chunk_entries)
    if len(record.payload) != 8 * chunks:
        raise CorruptIndexError(f"directory of run {run}: {len(record.payload)} bytes for {chunks} chunks")
    last_keys = np.frombuffer(record.payload, dtype="<u8").astype(np.uint64)
    if np.any(last_keys[1:] < last_keys[:-1]):
        raise CorruptIndexError(f"directory of run {run}: its keys do not ascend")
    return record.entries, last_keys


class RunReader:
    """Lookup in one run. Chunks are checked once and then kept as views.

    A run never changes, and its chunks are large enough to lie in pages of their own: a view of one is good under
    every transaction in which the run exists.
    """

    __slots__ = ("_chunks", "_last_keys", "chunk_entries", "entries", "run")

    def __init__(self, run: int, entries: int, get: Get, chunk_entries: int) -> None:
        stored, self._last_keys = unpack_directory(get("runs", records.key1(run)), run, chunk_entries)
        if stored != entries or entries == 0:
            raise CorruptIndexError(f"directory of run {run}: {stored} entries, the state says {entries}")
        self.run = run
        self.entries = entries
        self.chunk_entries = chunk_entries
        self._chunks: dict[int, tuple[U64, np.ndarray, int]] = {}

    @property
    def last_key(self) -> int:
        """The largest key."""
        return int(self._last_keys[-1])

    @property
    def chunk_count(self) -> int:
        return len(self._last_keys)

    def chunk(self, ordinal: int, get: Get) -> tuple[U64, np.ndarray, int]:
        """(keys, row offsets, base row) of a chunk."""
        chunk = self._chunks.get(ordinal)
        if chunk is None:
            chunk = unpack_chunk(get("runchunks", records.key2(self.run, ordinal)), self.run, ordinal)
            expected = min(self.chunk_entries, self.entries - ordinal * self.chunk_entries)
            if len(chunk[0]) != expected or chunk[0][-1] != self._last_keys[ordinal]:
                raise CorruptIndexError(f"run chunk {ordinal} of run {self.run}: contradicts the directory of the run")
            if chunk[0].nbytes >= 4096:
                self._chunks[ordinal] = chunk
        return chunk

    def position_of(self, key: int, get: Get) -> int:
        """How many entries have keys below this one."""
        ordinal = bisect_left(self._last_keys.data, key)
        if ordinal == len(self._last_keys):
            return self.entries
        return ordinal * self.chunk_entries + bisect_left(self.chunk(ordinal, get)[0].data, key)

    def find_one(self, key: int, get: Get) -> list[int]:
        """Candidate rows of one key."""
        found: list[int] = []
        ordinal = bisect_left(self._last_keys.data, key)
        while ordinal < len(self._last_keys):
            keys, offsets, base = self.chunk(ordinal, get)
            at = bisect_left(keys.data, key)
            while at < len(keys) and keys[at] == key:
                found.append(base + int(offsets[at]))
                at += 1
            if at < len(keys):
                break
            ordinal += 1  # equal keys may go on in the next chunk
        return found

    def find(self, queries: U64, get: Get) -> list[Candidates]:
        """Candidates for ascending keys."""
        found: list[Candidates] = []
        # Keys equal to the last of a chunk may go on in the next: each chunk sees the queries up to its last key
        # and from the last key of the chunk before it on.
        stops = np.searchsorted(queries, self._last_keys, side="right")
        starts = np.concatenate(([0], np.searchsorted(queries, self._last_keys[:-1], side="left")))
        wanted = np.flatnonzero(starts < stops)
        singly: list[tuple[int, int]] = []
        for ordinal, start, stop in zip(wanted.tolist(), starts[wanted].tolist(), stops[wanted].tolist(), strict=True):
            keys, offsets, base = self.chunk(ordinal, get)
            if stop - start <= _SINGLY:
                view, last = keys.data, len(keys)
                for query in range(start, stop):
                    key = int(queries[query])
                    at = bisect_left(view, key)
                    while at < last and view[at] == key:
                        singly.append((query, base + int(offsets[at])))
                        at += 1
                continue
            candidates = search(keys, offsets, queries[start:stop], start)
            if base:
                candidates = candidates._replace(rows=candidates.rows + base)
            found.append(candidates)
        if singly:
            found.append(Candidates(*np.array(singly, dtype=np.int64).T))
        return found

    def entries_from(self, position: int, count: int, get: Get) -> tuple[U64, I64]:
        """Copies of up to `count` entries from the given one on: (keys, rows)."""
        stop = min(position + count, self.entries)
        keys_parts: list[U64] = []
        rows_parts: list[I64] = []
        while position < stop:
            ordinal, offset = divmod(position, self.chunk_entries)
            keys, offsets, base = self.chunk(ordinal, get)
            end = min(len(keys), offset + stop - position)
            keys_parts.append(keys[offset:end])
            rows_parts.append(offsets[offset:end].astype(np.int64) + base)
            position += end - offset
        if not keys_parts:
            return np.empty(0, dtype=np.uint64), np.empty(0, dtype=np.int64)
        return np.concatenate(keys_parts), np.concatenate(rows_parts)
