"""What an index says of itself."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from pqstore.errors import CorruptIndexError
from pqstore.index.code_space import Phase
from pqstore.index.drift import drift_of
from pqstore.index.expiry import expiry_of
from pqstore.index.lists.list_stats import ListStats
from pqstore.index.reading import Reading
from pqstore.index.saved_sets import sizes_of_sets
from pqstore.index.search.calibration import Calibration, kept_calibration
from pqstore.index.selection.searchable import count_searchable
from pqstore.index.settings import fields_of
from pqstore.storage import Snapshot, SnapshotLists, Store

__all__ = ["IndexStats", "shown_extras"]


@dataclass(frozen=True, slots=True)
class IndexStats:
    """Sizes and counts of an index, of one consistent state but for the readers."""

    path: str
    vectors: int
    """Those without one included."""
    without_vector: int
    """How many of them were added without a vector."""
    dead_rows: int
    """Rows of removed, replaced and expired vectors whose space is not reused yet."""
    expired: int
    """How many of them have expired and not been removed so far."""
    D: int
    quantizer: str
    """ "PQ" or "OPQ"; of an index that is not trained, what it will be."""
    M: int
    Ks: int
    metric: str
    id_type: str
    originals: str | None
    """How the vectors themselves are kept: "float32", "float16", "int8" or None."""
    phase: Phase
    """ "exact": vectors as they are, searches are exact; "codes": quantized."""
    trained_on: int | None
    """How many vectors the index had when it trained itself; None: it has not."""
    drift: float | None
    """Quantization error of the newest vectors over that at training (`docs/howto/start-empty.md`): about 1 while the
    codebook fits. None: not known, since it did not train itself or keeps no originals."""
    fields: tuple[str, ...]
    """Payload fields that have an index."""
    expiry: str | None
    """The field that says when vectors expire; None: they do not."""
    sets: dict[str, int]
    """Names of the saved sets of ids, and how many ids each has."""
    lists: ListStats | None
    """Its inverted lists; None: it has none, and every search reads all codes."""
    calibration: Calibration | None
    """What `rerank="auto"` goes by; None: the index was never calibrated."""
    code_bytes: int
    """Bytes of a code as it lies on the disk."""
    segments: int
    """Sealed segments, of `segment_rows` rows each."""
    segment_rows: int
    tail_rows: int
    """Rows of the segment that is still open."""
    id_ranges: int
    id_runs: int
    id_run_entries: int
    file_bytes: int
    """Bytes of the file of codes, ids, payloads and all else but originals."""
    originals_bytes: int
    """Bytes of the files of originals, beside `file_bytes`; 0 where none are stored."""
    used_bytes: int
    """Bytes of pages that hold records of this state."""
    free_bytes: int
    """Bytes of the file that later changes can fill; `compact` gives them back."""
    readers: int
    """Open snapshots, of all processes."""
    oldest_reader_lag: int
    """Commits since the oldest open snapshot began; what was freed since cannot be used again before it closes."""
    pinned_bytes: int
    """How much that is: bytes of `free_bytes` that are free only when the oldest snapshot closes."""
    commits: int
    generation: int
    """How often the index was compacted, plus 1."""
    durability: str
    format_version: int
    uuid: str
    locked: bool
    """Whether writers see readers of this process; False where the lock file cannot be written, and nobody may write
    to the index while it is open here."""
    faults: tuple[str, ...] = ()
    """What failed after commits of this process, newest last; the changes themselves are stored."""

    @property
    def disk_bytes(self) -> int:
        """Bytes of all files: codes and all else, and originals."""
        return self.file_bytes + self.originals_bytes

    @classmethod
    def of(cls, store: Store, reading: Reading) -> IndexStats:
        """The numbers of an open store."""
        space, snapshot = reading.space, reading.snapshot
        fields, sets, calibration = fields_of(snapshot), sizes_of_sets(snapshot), kept_calibration(snapshot)
        expiry = expiry_of(snapshot)
        without = snapshot.live_rows - count_searchable(reading)
        drift, lists = drift_of(reading), ListStats.of(snapshot, space.metric)
        reading.close()  # else it would count among the readers
        stored = store.stats()
        return cls(
            path=str(store.path),
            vectors=stored.live_rows,
            without_vector=without,
            dead_rows=stored.dead_rows,
            expired=stored.ended_rows,
            D=space.D,
            quantizer=space.quantizer.kind,
            M=space.M,
            Ks=space.Ks,
            metric=space.metric,
            id_type=store.identity.id_type,
            originals=space.original_kind,
            phase=space.phase,
            trained_on=None if space.training is None else space.training.rows,
            drift=drift,
            fields=fields,
            expiry=expiry,
            sets=sets,
            lists=lists,
            calibration=calibration,
            code_bytes=space.code_bytes,
            segments=stored.segments,
            segment_rows=stored.segment_rows,
            tail_rows=stored.tail_rows,
            id_ranges=stored.id_ranges,
            id_runs=stored.id_runs,
            id_run_entries=stored.id_run_entries,
            file_bytes=stored.file_bytes,
            originals_bytes=stored.originals_bytes,
            used_bytes=stored.used_bytes,
            free_bytes=stored.free_bytes,
            readers=stored.readers,
            oldest_reader_lag=stored.oldest_reader_lag,
            pinned_bytes=stored.pinned_bytes,
            commits=stored.commits,
            generation=stored.generation,
            durability=stored.durability,
            format_version=stored.format_version,
            uuid=stored.uuid,
            locked=stored.locked,
            faults=stored.faults,
        )


def shown_extras(state: Snapshot) -> list[str]:
    """What an index has beside vectors, in a few words each; nothing of what it does not have."""
    fields, sets = fields_of(state), state.catalog.sets
    shown = [f"fields {', '.join(fields[:3])}{', ...' if len(fields) > 3 else ''}"] if fields else []
    if sets:
        shown.append(f"{len(sets)} saved set{'s' if len(sets) > 1 else ''}")
    with suppress(CorruptIndexError):  # which searches and `verify` tell
        lists = SnapshotLists(state).read()
        if lists is not None:
            shown.append(f"{lists.lists.partitions:,} lists")
    if kept_calibration(state) is not None:
        shown.append("calibrated")
    return shown
