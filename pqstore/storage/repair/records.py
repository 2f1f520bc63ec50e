"""The records of a damaged index whose checksum holds: by its trees, or wherever they lie in the data file."""

from __future__ import annotations

import mmap
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import numpy.typing as npt

from pqstore.errors import CorruptIndexError
from pqstore.storage.format import records
from pqstore.storage.format.state import Identity
from pqstore.storage.repair.report import RepairReport

__all__ = ["FoundRecords", "Key", "Records", "by_search", "by_trees"]

Key: TypeAlias = tuple[int, int, int]
"""Kind, key 0 and key 1 of a record."""
Records: TypeAlias = dict[Key, records.Record]

_UNREADABLE: Final = records.Record(-1, -1, memoryview(b""))  # there, but damaged
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


def by_trees(txn: Any, databases: Mapping[str, Any], report: RepairReport) -> FoundRecords:
    """All sound records that the trees lead to."""
    identity = Identity.unpack(txn.get(records.IDENTITY_KEY, db=databases["meta"]))
    arrays = {n: records.unpack_array(txn.get(n.encode(), db=databases["quantizer"]), n) for n in identity.arrays}
    found = FoundRecords(identity, arrays)
    try:
        state = txn.get(records.STATE_KEY, db=databases["meta"])
        found.sound[records.STATE, 0, 0] = records.open_record(state, records.STATE)
    except CorruptIndexError as error:
        report.losses.append(f"{error}; worked out from the other records")
    try:
        catalog = txn.get(records.CATALOG_KEY, db=databases["meta"])
        found.sound[records.CATALOG, 0, 0] = records.open_record(catalog, records.CATALOG)
    except CorruptIndexError as error:
        report.losses.append(str(error))
    for database, kind in _KINDS.items():
        for raw, value in txn.cursor(db=databases[database]):
            key_0, key_1 = [*(int.from_bytes(raw[at : at + 8], "big") for at in range(0, len(raw), 8)), 0][:2]
            its_kind = records.tail_kind(key_0) if kind == records.TAIL_CODES else kind
            try:
                found.sound[its_kind, key_0, key_1] = records.open_record(value, its_kind, key_0, key_1)
            except CorruptIndexError as error:
                report.losses.append(str(error))
                found.sound[its_kind, key_0, key_1] = _UNREADABLE
    return found


def by_search(content: mmap.mmap) -> FoundRecords:
    """All sound records, wherever they lie; of several with one name the latest."""
    view = memoryview(content)
    sound: Records = {}
    arrays: dict[str, npt.NDArray[Any]] = {}
    identity: Identity | None = None
    at = content.find(records.MAGIC)
    while at >= 0:
        header = records.peek(view[at:])
        if header is not None:
            kind, key_0, key_1, size = header
            value = view[at : at + size]
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


def _age(kind: int, record: records.Record | None) -> int:
    """Larger for the later of two versions of a record: commits, dead rows and rows of a chunk only grow."""
    if record is None:
        return -1
    if kind == records.SEGMENT:
        return int.from_bytes(record.payload[8:16], "little")
    return record.entries
