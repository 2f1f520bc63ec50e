"""What an index is (`Identity`, written once) and where it stands (`State`, rewritten in every commit)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from operator import itemgetter
from typing import Any, Final, Literal, NamedTuple, TypeAlias

import msgpack

from pqstore.errors import CorruptIndexError, FormatVersionError
from pqstore.storage.format import records
from pqstore.storage.format.fields import (
    anything,
    binary,
    flag,
    list_of,
    map_of,
    member,
    nullable,
    one_of,
    real,
    record_of,
    row,
    text,
    unpack,
    whole,
)

__all__ = ["LAST_SEGMENT", "IdType", "Identity", "MergeJob", "Range", "RunInfo", "State"]

IdType: TypeAlias = Literal["int64", "str"]

# No counter gets so far by counting, and what is worked out of it fits int64.
_LAST_COUNT: Final = 2**62
LAST_SEGMENT: Final = 2**46


@dataclass(frozen=True, slots=True)
class Identity:
    """What no change to the rows of an index changes."""

    uuid: str
    id_type: IdType
    durability: str
    segment_rows: int
    chunk_rows: int
    hash_key: bytes
    created: float
    settings: Mapping[str, Any]
    arrays: tuple[str, ...]
    features: tuple[str, ...] = ()
    row_bytes: int = 0
    """Bytes of the original of a row, without its checksum; 0: originals are not stored."""

    def pack(self) -> bytes:
        return records.pack_record(records.IDENTITY, 0, 0, 0, [msgpack.packb(asdict(self), use_bin_type=True)])

    @classmethod
    def unpack(cls, value: memoryview | None) -> Identity:
        record = records.open_record(value, records.IDENTITY)
        # First of all: an index with a feature that is not known here may have other fields, too.
        unknown = set(unpack(record.payload, "identity", _FEATURES)) - records.FEATURES
        if unknown:
            raise FormatVersionError(
                f"the index uses features unknown to this pqstore ({', '.join(sorted(unknown))}): upgrade pqstore"
            )
        identity = cls(**unpack(record.payload, "identity", _IDENTITY))
        segment_rows, chunk_rows = identity.segment_rows, identity.chunk_rows
        if chunk_rows > segment_rows or segment_rows % chunk_rows or chunk_rows % 32:
            raise CorruptIndexError(f"identity: {segment_rows} rows a segment and {chunk_rows} a chunk cannot be")
        return identity


@dataclass(frozen=True, slots=True)
class RunInfo:
    """A sorted run of the id map."""

    run: int
    entries: int


@dataclass(frozen=True, slots=True)
class Range:
    """Ids `first_id .. first_id + count - 1` given to rows `first_row .. first_row + count - 1`."""

    first_id: int
    first_row: int
    count: int


@dataclass(frozen=True, slots=True)
class MergeJob:
    """A merge of runs that goes on over several commits.

    `positions[i]` entries of run `inputs[i]` are dealt with; the `entries` of them that were live are in full chunks of
    run `output`, which has a directory already but is not in the list of runs.
    """

    output: int
    inputs: tuple[int, ...]
    positions: tuple[int, ...]
    entries: int


class State(NamedTuple):
    """Where an index stands after a commit. Row number = segment * segment_rows + position."""

    commit: int = 0
    """Counts the commits of the index, through all generations."""
    open_segment: int = 0
    """The number of the segment that the tail will become."""
    tail_rows: int = 0
    tail_dead: int = 0
    tail_stamp: int = 0
    """The commit that last changed the tombstones of the tail; 0: it has none."""
    live_rows: int = 0
    next_id: int = 0
    next_run: int = 0
    table_stamp: int = 0
    """The commit that last changed a segment entry."""
    merge_allowance: int = 0
    rewrite_allowance: int = 0
    superseded: bool = False
    """A newer generation stands beside this one; nothing may be written here any more."""
    ranges: tuple[Range, ...] = ()
    runs: tuple[RunInfo, ...] = ()
    merge: MergeJob | None = None
    transaction: int | None = None
    """The number of the transaction of LMDB that wrote this; None: an earlier pqstore did, which kept none."""
    expiry: int | None = None
    """The number of the field that says when a row ends; None: rows do not end."""

    def pack(self) -> bytes:
        counts = self.commit, self.next_run, self.merge_allowance, self.rewrite_allowance
        if max(counts) > _LAST_COUNT or self.open_segment > LAST_SEGMENT:
            raise CorruptIndexError("state: a counter has come to the end of its numbers")
        plain = dict(zip(_PLAIN, _plain_values(self), strict=True))
        for name in _OPTIONAL:
            if plain[name] is None:
                del plain[name]
        plain["ranges"] = [(r.first_id, r.first_row, r.count) for r in self.ranges]
        plain["runs"] = [(r.run, r.entries) for r in self.runs]
        job = self.merge
        plain["merge"] = job and (job.output, job.inputs, job.positions, job.entries)
        return records.pack_record(records.STATE, 0, 0, self.commit, [msgpack.packb(plain, use_bin_type=True)])

    @classmethod
    def unpack(cls, value: memoryview | None) -> State:
        return cls.from_record(records.open_record(value, records.STATE))

    @classmethod
    def from_record(cls, record: records.Record) -> State:
        """The state of a record that has been opened; raises `CorruptIndexError` when its fields cannot be."""
        state = cls(**unpack(record.payload, "state", _STATE))
        if record.entries != state.commit:
            raise CorruptIndexError(f"state: of commit {state.commit} in a record of commit {record.entries}")
        return state

    def check(self, segment_rows: int, run_chunk_entries: int) -> None:
        """Raise `CorruptIndexError` where its numbers contradict each other, in an index of such sizes."""
        problem = self._problem(segment_rows) or self._problem_of_ranges(segment_rows) or self._problem_of_runs()
        job = self.merge
        if problem is None and job is not None and job.entries % run_chunk_entries:
            problem = f"a merge has written {job.entries} entries, not whole chunks"
        if problem is not None:
            raise CorruptIndexError(f"state: {problem}")

    def _problem(self, segment_rows: int) -> str | None:
        if self.tail_rows >= segment_rows or self.tail_dead > self.tail_rows:
            return f"{self.tail_dead} of {self.tail_rows} rows of the tail are dead, of {segment_rows} at most"
        if max(self.tail_stamp, self.table_stamp) > self.commit:
            return f"the tail changed in commit {self.tail_stamp}, segments in {self.table_stamp}, of {self.commit}"
        return None

    def _problem_of_ranges(self, segment_rows: int) -> str | None:
        sealed_rows = self.open_segment * segment_rows
        for entry in self.ranges:
            if entry.first_row + entry.count > sealed_rows or entry.first_id + entry.count > self.next_id:
                return f"{entry} reaches beyond row {sealed_rows} or id {self.next_id}"
        return None

    def _problem_of_runs(self) -> str | None:
        entries = {info.run: info.entries for info in self.runs}
        if len(entries) < len(self.runs) or any(run >= self.next_run for run in entries):
            return f"runs are numbered twice, or not below {self.next_run}"
        job = self.merge
        if job is None:
            return None
        if job.output in entries or job.output >= self.next_run:
            return f"the output of a merge, run {job.output}, cannot be"
        if not job.inputs or len(set(job.inputs)) < len(job.inputs) or len(job.inputs) != len(job.positions):
            return "a merge without inputs, or with one twice"
        if any(at > entries.get(run, -1) for run, at in zip(job.inputs, job.positions, strict=True)):
            return "a merge is beyond the end of its inputs"
        return None


_PLAIN = tuple(name for name in State._fields if name not in ("ranges", "runs", "merge"))
_plain_values = itemgetter(*map(State._fields.index, _PLAIN))
_OPTIONAL = ("transaction", "expiry")  # left out where they are None

_COUNTER: Final = whole(0, _LAST_COUNT)
_SEGMENT: Final = whole(0, LAST_SEGMENT)
_INT64: Final = (-(2**63), 2**63 - 1)
_NAME: Final = text(511)  # a key of LMDB
_NAMES: Final = list_of(_NAME, 1024)
_FEATURES: Final = member("features", _NAMES)
_IDENTITY: Final = record_of(
    {
        "uuid": text(36, 36),
        "id_type": one_of("int64", "str"),
        "durability": one_of("full", "relaxed"),
        "segment_rows": whole(32, 65_536),
        "chunk_rows": whole(32, 65_536),
        "hash_key": binary(32),
        "created": real(0.0, 1e12),
        "settings": map_of(text(511), anything),
        "arrays": _NAMES,
        "features": _NAMES,
        "row_bytes": whole(0, 2**32 - 1),
    }
)
_STATE: Final = record_of(
    {
        "commit": _COUNTER,
        "open_segment": _SEGMENT,
        "tail_rows": whole(0, 65_535),
        "tail_dead": whole(0, 65_535),
        "tail_stamp": _COUNTER,
        "live_rows": _COUNTER,
        "next_id": whole(0, 2**63),
        "next_run": _COUNTER,
        "table_stamp": _COUNTER,
        "merge_allowance": _COUNTER,
        "rewrite_allowance": _COUNTER,
        "superseded": flag,
        "ranges": list_of(row(whole(*_INT64), _COUNTER, whole(1, _LAST_COUNT), make=Range)),
        "runs": list_of(row(_COUNTER, whole(1, _LAST_COUNT), make=RunInfo)),
        "merge": nullable(row(_COUNTER, list_of(_COUNTER), list_of(_COUNTER), _COUNTER, make=MergeJob)),
    },
    optional={"transaction": _COUNTER, "expiry": whole(0, 4095)},
)
