"""The records of a damaged index whose checksum holds: by its trees, or wherever they lie in the data file."""

from __future__ import annotations

import mmap
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import numpy.typing as npt

from pqstore.errors import CorruptIndexError, FormatVersionError
from pqstore.storage.disk.lmdb_contents import stored_items
from pqstore.storage.disk.lmdb_meta import Tree
from pqstore.storage.format import records
from pqstore.storage.format.list_state import ListState
from pqstore.storage.format.state import Identity
from pqstore.storage.repair.report import RepairReport

__all__ = ["FoundRecords", "Key", "Records", "by_search", "by_trees"]

Key: TypeAlias = tuple[int, int, int]
"""Kind, key 0 and key 1 of a record."""
Records: TypeAlias = dict[Key, records.Record]

_LARGE: Final = 1 << 16  # bytes
_BELIEVED: Final = 16  # so many times the size of the file is read for large records that are none
_UNREADABLE: Final = records.Record(-1, -1, memoryview(b""))  # there, but damaged
_LISTS: Final = (bytes([records.PARTITIONS]), bytes([records.LIST_CHUNK]))
_KINDS: Final = {
    "segments": records.SEGMENT,
    "codes": records.CODES,
    "rowids": records.ROWIDS,
    "tombstones": records.TOMBSTONES,
    "tail": records.TAIL_CODES,
    "runchunks": records.RUN_CHUNK,
    "payloads": records.PAYLOADS,
    "sets": records.SET_CHUNK,
}


@dataclass(slots=True)
class FoundRecords:
    """What an index cannot do without, and the sound records. They are views of the file."""

    identity: Identity
    arrays: dict[str, npt.NDArray[Any]]
    sound: Records = field(default_factory=dict)

    def of_kind(self, kind: int) -> dict[tuple[int, int], records.Record]:
        """Those of a kind that can be read, by key 0 and key 1."""
        return {
            (key_0, key_1): record
            for (its_kind, key_0, key_1), record in self.sound.items()
            if its_kind == kind and record.entries >= 0
        }


def by_trees(content: memoryview, main: Tree, report: RepairReport) -> FoundRecords:
    """All sound records that the trees lead to, from the bytes of the data file.

    Raises `CorruptIndexError` when identity or arrays are damaged, `DamagedFileError` when the trees are.
    """
    meta = dict(stored_items(content, main, "meta"))
    quantizer = dict(stored_items(content, main, "quantizer"))
    identity = Identity.unpack(meta.get(records.IDENTITY_KEY))
    arrays = {name: records.unpack_array(quantizer.get(name.encode()), name) for name in identity.arrays}
    found = FoundRecords(identity, arrays)
    losses: list[str] = []
    for key, kind, meaning in (
        (records.STATE_KEY, records.STATE, "; worked out from the other records"),
        (records.CATALOG_KEY, records.CATALOG, ""),
    ):
        try:
            found.sound[kind, 0, 0] = records.open_record(meta.get(key), kind)
        except (CorruptIndexError, FormatVersionError) as error:
            losses.append(f"{error}{meaning}")
    report.partitions = _partitions(meta.get(records.LISTS_KEY), losses)
    for database, kind in _KINDS.items():
        for raw, value in stored_items(content, main, database):
            if value[5:6] in _LISTS:
                continue  # made anew
            key_0, key_1 = [*(int.from_bytes(raw[at : at + 8], "big") for at in range(0, len(raw), 8)), 0, 0][:2]
            its_kind = records.tail_kind(key_0) if kind == records.TAIL_CODES else kind
            try:
                found.sound[its_kind, key_0, key_1] = records.open_record(value, its_kind, key_0, key_1)
            except (CorruptIndexError, FormatVersionError) as error:
                losses.append(str(error))
                found.sound[its_kind, key_0, key_1] = _UNREADABLE
    report.losses += losses
    return found


def _partitions(value: memoryview | None, losses: list[str]) -> int | None:
    """How many partitions the lists had that searches read."""
    if value is None:
        return None
    try:
        current = ListState.unpack(value).current
    except (CorruptIndexError, FormatVersionError) as error:
        losses.append(f"{error}: the lists are gone; partition() makes them anew")
        return None
    return None if current is None else current.partitions


def by_search(content: mmap.mmap) -> FoundRecords:
    """All sound records, wherever they lie; of several with one name the latest."""
    view = memoryview(content)
    sound: Records = {}
    arrays: dict[str, npt.NDArray[Any]] = {}
    identity: Identity | None = None
    reader = _Peeking(view)
    at = content.find(records.MAGIC)
    while at >= 0:
        header = reader.record_at(at)
        if header is not None:
            kind, key_0, key_1, size = header
            value = view[at : at + size]
            with suppress(CorruptIndexError):  # its checksum holds, but it lies
                record = records.open_record(value, kind, key_0, key_1)
                if kind == records.IDENTITY:
                    identity = Identity.unpack(value)
                elif kind == records.ARRAY:
                    name = records.array_name(value)
                    arrays[name] = records.unpack_array(value, name)
                elif _age(kind, record) >= _age(kind, sound.get((kind, key_0, key_1))):
                    sound[kind, key_0, key_1] = record
        at = content.find(records.MAGIC, at + 1)
    if identity is None:
        raise CorruptIndexError("the identity of the index is damaged: nothing can be salvaged without it")
    for name in identity.arrays:
        if name not in arrays:
            raise CorruptIndexError(f"array {name!r} is damaged: codes mean nothing without it")
    return FoundRecords(identity, {name: arrays[name] for name in identity.arrays}, sound)


class _Peeking:
    """Looks for records. Where many headers claim to begin a large record that is none, it stops believing them: a
    file of nothing else would take for ever."""

    __slots__ = ("_believed", "_view")

    def __init__(self, view: memoryview) -> None:
        self._view = view
        self._believed = _BELIEVED * len(view)

    def record_at(self, at: int) -> tuple[int, int, int, int] | None:
        """See `records.peek`."""
        claimed = records.claimed_bytes(self._view[at : at + records.HEADER_BYTES])
        if claimed > _LARGE:
            self._believed -= claimed
            if self._believed < 0:
                return None
        found = records.peek(self._view[at : at + claimed])
        if found is not None and claimed > _LARGE:
            self._believed += claimed
        return found


def _age(kind: int, record: records.Record | None) -> int:
    """Larger for the later of two versions of a record: commits, dead rows and rows of a chunk only grow."""
    if record is None:
        return -1
    if kind == records.SEGMENT:
        return int.from_bytes(record.payload[8:16], "little")
    return record.entries
