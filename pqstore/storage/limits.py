"""At which sizes the storage divides its work."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pqstore.storage.format.records import RUN_CHUNK_ENTRIES, SET_CHUNK_IDS

__all__ = ["STANDARD", "Limits"]


@dataclass(frozen=True, slots=True)
class Limits:
    """The first handle on an index in a process sets them for all. Small ones let tests see everything happen often."""

    run_chunk_entries: int = RUN_CHUNK_ENTRIES
    """Entries of a full chunk of a run. Part of the format, like `set_chunk_ids`: an index made with others must
    always be opened with them."""
    set_chunk_ids: int = SET_CHUNK_IDS
    """Ids of a full chunk of a saved set."""
    max_readers: int = 1022
    """Snapshots that all processes together may have open."""
    ample_map: int = 1 << 40
    """Bytes of address space for an index that will never need more."""
    least_map: int = 8 << 30
    """Bytes of address space for an index of a process that has many open."""
    stage_bytes: int = 64 << 20
    """Bytes that a transaction holds in memory before it writes them ahead of its commit."""
    run_entries: int = 1 << 21
    """Sealed rows whose ids wait in memory until they are written as a run."""
    smallest_tier: int = 65_536
    """Entries up to which runs are of the lowest tier."""
    merge_per_row: int = 6
    """Entries merged for each row appended: more than a row is merged in its life (once a tier)."""
    merge_saved: int = 32 * RUN_CHUNK_ENTRIES
    """Entries that may be left over from what rows before have earned."""
    merge_step: int = 2 * RUN_CHUNK_ENTRIES
    """Entries that must have been earned before a merge goes on."""
    merge_at_once: int = 8 * RUN_CHUNK_ENTRIES
    """Entries that one transaction merges, unless much more has been earned."""
    list_smallest_tier: int = 65_536
    """Rows up to which runs of lists are of the lowest tier."""
    list_run_rows: int = 1 << 22
    """Rows that are sorted at a time into a run of lists."""
    list_slice: int = 8192
    """Rows of a sealed segment that one commit assigns to partitions, unless it adds many itself."""
    list_per_row: int = 8
    """Rows of lists merged for each row added: more than a row is merged in its life (once a tier)."""
    list_step: int = 65_536
    """Rows that must have been earned before a merge of lists goes on."""
    list_at_once: int = 131_072
    """Rows of lists that one transaction merges, unless much more has been earned."""


STANDARD: Final = Limits()
