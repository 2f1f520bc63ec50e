"""What a store says of itself."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["StoreStats"]


@dataclass(frozen=True, slots=True)
class StoreStats:
    """Counts, sizes in bytes, and who reads. One consistent state, but for the readers."""

    live_rows: int
    dead_rows: int
    ended_rows: int
    """Of those the rows past the end of their life that have no tombstone yet."""
    segments: int
    """Sealed segments."""
    tail_rows: int
    """Rows of the segment that is still open, dead ones too."""
    segment_rows: int
    id_ranges: int
    id_runs: int
    id_run_entries: int
    file_bytes: int
    used_bytes: int
    """Bytes of pages that hold records of this state."""
    free_bytes: int
    """Bytes of the file that later commits can fill; `compact()` gives them back."""
    originals_bytes: int
    """Bytes of the files of originals, beside `file_bytes`."""
    readers: int
    """Open snapshots of all processes."""
    oldest_reader_lag: int
    """Commits since the oldest open snapshot began; what was freed since then cannot be used again yet."""
    pinned_bytes: int
    """How much that is: bytes of `free_bytes` that are free only when the oldest snapshot closes."""
    locked: bool
    """Whether writers see this reader: False where the lock file cannot be written."""
    format_version: int
    durability: str
    uuid: str
    generation: int
    commits: int
    faults: tuple[str, ...]
    """What failed after commits of this process, newest last; the changes themselves are stored."""
