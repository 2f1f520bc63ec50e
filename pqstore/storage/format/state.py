"""What an index is (`Identity`, written once) and where it stands (`State`, rewritten in every commit)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, NamedTuple, TypeAlias, cast

import msgpack

from pqstore.errors import CorruptIndexError, FormatVersionError
from pqstore.storage.format import records

__all__ = ["IdType", "Identity", "MergeJob", "Range", "RunInfo", "State"]

IdType: TypeAlias = Literal["int64", "str"]
_COUNTER_LIMIT = 2**63


@dataclass(frozen=True, slots=True)
class Identity:
    """What never changes in the life of an index."""

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
        fields_ = _unpack_map(records.open_record(value, records.IDENTITY), "identity", _IDENTITY_FIELDS)
        unknown = set(fields_["features"]) - records.FEATURES
        if unknown:
            raise FormatVersionError(
                f"the index uses features unknown to this pqstore ({', '.join(sorted(unknown))}): upgrade pqstore"
            )
        fields_["arrays"], fields_["features"] = tuple(fields_["arrays"]), tuple(fields_["features"])
        identity = cls(**fields_)
        segment_rows, chunk_rows = identity.segment_rows, identity.chunk_rows
        if (
            identity.id_type not in ("int64", "str")
            or not 0 < chunk_rows <= segment_rows <= 65_536
            or segment_rows % chunk_rows
            or chunk_rows % 32
            or type(identity.row_bytes) is not int
            or not 0 <= identity.row_bytes < 2**32
        ):
            raise CorruptIndexError(
                f"identity: {segment_rows} rows a segment, {chunk_rows} a chunk and {identity.row_bytes} bytes a row "
                "cannot be"
            )
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

    def pack(self) -> bytes:
        plain = {name: getattr(self, name) for name in _PLAIN}
        if self.transaction is None:
            del plain["transaction"]
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
        fields_ = _unpack_map(record, "state", _STATE_FIELDS, optional=("transaction",))
        try:
            fields_["ranges"] = tuple(Range(*entry) for entry in fields_["ranges"])
            fields_["runs"] = tuple(RunInfo(*entry) for entry in fields_["runs"])
            if fields_["merge"] is not None:
                output, inputs, positions, entries = fields_["merge"]
                fields_["merge"] = MergeJob(output, tuple(inputs), tuple(positions), entries)
        except (TypeError, ValueError) as error:
            raise CorruptIndexError(f"state: its lists cannot be read ({error})") from error
        state = cls(**fields_)
        for name in _COUNTERS if state.transaction is not None else _COUNTERS[:-1]:
            number = getattr(state, name)
            if type(number) is not int or not 0 <= number <= _COUNTER_LIMIT:
                raise CorruptIndexError(f"state: {name} is {number!r}")
        if state.tail_dead > state.tail_rows:
            raise CorruptIndexError(f"state: {state.tail_dead} of {state.tail_rows} rows of the tail are dead")
        return state


_PLAIN = tuple(name for name in State._fields if name not in ("ranges", "runs", "merge"))
_COUNTERS = tuple(name for name in _PLAIN if name not in ("superseded", "next_id"))


_STATE_FIELDS = frozenset(State._fields)
_IDENTITY_FIELDS = frozenset(f.name for f in fields(Identity))


def _unpack_map(
    record: records.Record, name: str, wanted: frozenset[str], optional: tuple[str, ...] = ()
) -> dict[str, Any]:
    """The msgpack map of a record with exactly these fields, of which the optional ones may be missing."""
    try:
        content = msgpack.unpackb(record.payload, raw=False, strict_map_key=False)
    except (ValueError, TypeError, msgpack.exceptions.UnpackException) as error:
        raise CorruptIndexError(f"{name}: not a msgpack map ({error})") from error
    if not isinstance(content, dict) or content.keys() | set(optional) != wanted:
        raise CorruptIndexError(f"{name}: its fields are not those of format {records.FORMAT_VERSION}")
    return cast("dict[str, Any]", content)
