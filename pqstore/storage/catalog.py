"""What an index keeps beside its vectors: names of payload keys, declared fields, notes. One record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgpack

from pqstore.errors import CorruptIndexError
from pqstore.storage import layout

__all__ = ["MAX_NAMES", "Catalog"]

MAX_NAMES: Final = 4096
"""Distinct top-level keys that get a number; keys beyond are written out in each payload."""


@dataclass(frozen=True, slots=True)
class Catalog:
    """Both lists only grow; a number is a place in its list."""

    names: tuple[str, ...] = ()
    """Top-level keys of payloads, which payloads name by number."""
    fields: tuple[str, ...] = ()
    """Fields that have an index."""
    notes: Mapping[str, Any] = field(default_factory=dict)
    """Small things that the index room keeps: what msgpack can hold."""

    @property
    def names_are_full(self) -> bool:
        """Whether payloads may have keys that are not in `names`."""
        return len(self.names) >= MAX_NAMES

    def pack(self) -> bytes:
        content = [list(self.names), list(self.fields), dict(self.notes)]
        return layout.pack_record(layout.CATALOG, 0, 0, len(self.names), [msgpack.packb(content, use_bin_type=True)])

    @classmethod
    def unpack(cls, value: memoryview | None) -> Catalog:
        """The catalog of a record; an empty one when there is none yet."""
        if value is None:
            return cls()
        return cls.from_record(layout.open_record(value, layout.CATALOG))

    @classmethod
    def from_record(cls, record: layout.Record) -> Catalog:
        """The catalog of a record that was checked."""
        try:
            names, fields, notes = msgpack.unpackb(record.payload, raw=False, strict_map_key=False)
            catalog = cls(tuple(names), tuple(fields), dict(notes))
        except (ValueError, TypeError, msgpack.exceptions.UnpackException) as error:
            raise CorruptIndexError(f"catalog: cannot be read ({error})") from error
        if record.entries != len(names) or not all(isinstance(name, str) for name in (*names, *fields)):
            raise CorruptIndexError("catalog: its lists are not lists of names")
        return catalog
