"""What a transaction writes beside the rows: notes and saved sets."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy.typing as npt

from pqstore.storage.attachments.saved_sets import pack_set
from pqstore.storage.format import records
from pqstore.storage.format.catalog import SavedSet
from pqstore.storage.transactions.pending import PendingRecords

__all__ = ["CatalogWrites"]


class CatalogWrites:
    """Those of one write transaction."""

    def __init__(self, pending: PendingRecords) -> None:
        self._records = pending

    def _change(self, **changes: Any) -> None:
        self._records.changed_catalog = replace(self._records.catalog, **changes)

    def set_note(self, key: str, value: Any) -> None:
        """Keep, or with None forget, a small thing."""
        notes = {name: entry for name, entry in self._records.catalog.notes.items() if name != key}
        if value is not None:
            notes[key] = value
        self._change(notes=notes)

    def save_set(self, name: str, ids: npt.NDArray[Any] | None) -> None:
        """Keep ids, distinct and ascending, under a name, in place of those there; None: forget the set."""
        sets = dict(self._records.catalog.sets)
        old = sets.pop(name, None)
        if old is not None:
            self._delete_chunks(old.number)
        number = self._records.catalog.next_set
        if ids is not None:
            chunk_ids = self._records.generation.limits.set_chunk_ids
            for key, record in pack_set(number, ids, self._records.schema.codec, chunk_ids):
                self._records.put("sets", key, record)
            sets[name] = SavedSet(number, len(ids))
            number += 1
        self._change(sets=sets, next_set=number)

    def _delete_chunks(self, number: int) -> None:
        """Those of a set that are stored, whatever the catalog says of how many there are."""
        start, stop = records.key2(number, 0), records.key1(number + 1)
        while chunks := self._records.page("sets", start, stop, 64):
            keys = [bytes(key) for key, _ in chunks]
            for key in keys:
                self._records.delete("sets", key)
            start = keys[-1] + b"\0"
