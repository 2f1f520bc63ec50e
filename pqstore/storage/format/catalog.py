"""What an index keeps beside its vectors: names of payload keys, declared fields, notes, saved sets. One record."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import msgpack

from pqstore.errors import CorruptIndexError
from pqstore.storage.format import records
from pqstore.storage.format.fields import anything, list_of, map_of, nullable, row, text, unpack, whole

__all__ = ["MAX_NAMES", "Catalog", "SavedSet", "catalog_features"]

MAX_NAMES: Final = 4096
"""Distinct top-level keys that get a number; keys beyond are written out in each payload."""


class SavedSet(NamedTuple):
    """What the catalog says of a set."""

    number: int
    ids: int

    def chunks(self, chunk_ids: int) -> int:
        """How many records of at most so many ids it has."""
        return -(-self.ids // chunk_ids)


@dataclass(frozen=True, slots=True)
class Catalog:
    """Names and fields only grow; a number is a place in its list."""

    names: tuple[str, ...] = ()
    """Top-level keys of payloads, which payloads name by number."""
    fields: tuple[str, ...] = ()
    """Fields that have an index."""
    notes: Mapping[str, Any] = field(default_factory=dict)
    """Small things that the index room keeps: what msgpack can hold."""
    sets: Mapping[str, SavedSet] = field(default_factory=dict)
    next_set: int = 0
    """The number of the next set; no number is used twice."""
    payloads_from: int | None = None
    """The first row that came with payloads: it and all rows after it lie in records of payloads. None: no row does."""

    @property
    def names_are_full(self) -> bool:
        """Whether payloads may have keys that are not in `names`."""
        return len(self.names) >= MAX_NAMES

    @property
    def knows_payloads(self) -> bool:
        """Whether new rows must be entered, be it as rows without a payload."""
        return bool(self.fields) or self.payloads_from is not None

    def pack(self) -> bytes:
        sets = {name: list(saved) for name, saved in self.sets.items()}
        content = [list(self.names), list(self.fields), dict(self.notes), sets, self.next_set, self.payloads_from]
        return records.pack_record(records.CATALOG, 0, 0, len(self.names), [msgpack.packb(content, use_bin_type=True)])

    @classmethod
    def unpack(cls, value: memoryview | None) -> Catalog:
        """The catalog of a stored record."""
        return cls.from_record(records.open_record(value, records.CATALOG))

    @classmethod
    def from_record(cls, record: records.Record) -> Catalog:
        """The catalog of a record that has been opened."""
        catalog: Catalog = unpack(record.payload, "catalog", _CATALOG)
        if record.entries != len(catalog.names):
            raise CorruptIndexError(f"catalog: {len(catalog.names)} names in a record of {record.entries}")
        return catalog


def catalog_features(fields: Iterable[str]) -> tuple[str, ...]:
    """Features that an index has by its fields."""
    return (records.VECTORLESS,) if records.VECTORLESS_KEY in fields else ()


_NUMBER: Final = whole(0, 2**62)
_CATALOG: Final = row(
    list_of(text(2**26, 0), MAX_NAMES),
    list_of(text(1024), 4096),
    map_of(text(1024), anything),
    map_of(text(512), row(_NUMBER, _NUMBER, make=SavedSet)),
    _NUMBER,
    nullable(_NUMBER),
    make=Catalog,
)
