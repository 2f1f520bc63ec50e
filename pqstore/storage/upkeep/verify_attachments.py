"""The invariants of docs/format.md that are about payloads, columns of fields, originals and saved sets."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from operator import attrgetter
from typing import Final

import numpy as np

from pqstore.arrays import I64
from pqstore.errors import CorruptIndexError
from pqstore.storage.attachments.ends import others_than_ends
from pqstore.storage.attachments.field_column import FieldColumn
from pqstore.storage.attachments.field_entries import FieldEntries
from pqstore.storage.attachments.field_paths import ABSENT, field_value
from pqstore.storage.attachments.field_records import read_field, read_tail_field
from pqstore.storage.attachments.payload_records import open_payloads, unpack_payload
from pqstore.storage.attachments.saved_sets import read_set
from pqstore.storage.format import records
from pqstore.storage.format.catalog import Catalog
from pqstore.storage.format.state import Identity
from pqstore.storage.rows.column_records import RowUnit
from pqstore.storage.rows.tombstones import live_positions
from pqstore.storage.transactions.snapshot import Snapshot
from pqstore.storage.upkeep.problem import Problem

__all__ = ["ATTACHMENT_INVARIANTS", "attachment_problems"]

ATTACHMENT_INVARIANTS: Final = {
    17: "The catalog names every number that payloads use, and no name or field twice.",
    18: "The ends in a payloads record ascend to the end of its bytes, and the payload of a live row is a msgpack map.",
    19: "From the first row with payloads on every stored row lies in one record of payloads, within its segment.",
    20: "Every field has a column of as many rows for each sealed segment and tail chunk; there are no others.",
    21: "A column says of every live row what its payload says.",
    22: "Where originals are stored, every row has its place in a file, and the checksum of a live one holds.",
    23: "A saved set has the chunks that the catalog says, of ascending ids; there are no others.",
    30: "Rows without a vector are marked in payloads exactly where the identity and the fields of the catalog say so.",
    31: "The state names a field of the catalog that says when rows end exactly where the identity says so.",
    32: "What a live row has in the field that says when rows end is a datetime or null.",
}

_SAMPLE = 64


def attachment_problems(snapshot: Snapshot, *, deep: bool) -> Iterator[Problem]:
    """The problems found. `deep` reads every original, instead of some of each segment, and compares (21)."""
    try:
        catalog = snapshot.catalog
    except CorruptIndexError as error:
        yield Problem(2, "catalog", str(error))
        return
    for names in (catalog.names, catalog.fields):
        if len(set(names)) < len(names):
            yield Problem(17, "catalog", "a name is there twice")
    features = Identity.unpack(snapshot.records.get("meta", records.IDENTITY_KEY)).features
    declared, key = records.VECTORLESS in features, records.VECTORLESS_KEY
    if (key in catalog.fields) != declared or (key in catalog.names and not declared):
        yield Problem(30, "identity", "what it says of rows without a vector is not what the catalog says")
    ends = snapshot.records.state.expiry
    if (ends is not None) != (records.EXPIRY in features):
        yield Problem(31, "identity", "what it says of rows that end is not what the state says")
    if ends is not None and ends >= len(catalog.fields):
        yield Problem(31, "state", f"rows end by field {ends}, but there are {len(catalog.fields)} fields")
    try:
        _ = snapshot.records.generation.environment.databases["payloads"]
    except CorruptIndexError as error:
        yield Problem(1, "payloads", str(error))
        deep_columns = False
    else:
        yield from _payloads(snapshot, catalog)
        deep_columns = deep
    yield from _columns(snapshot, catalog, deep=deep_columns)
    yield from _sets(snapshot, catalog)
    if snapshot.records.schema.identity.row_bytes:
        yield from _originals(snapshot, deep=deep)


def _live(unit: RowUnit) -> I64:
    return live_positions(unit.dead, unit.rows) + unit.first_row


def _units(snapshot: Snapshot) -> list[RowUnit]:
    """The units; none where codes or tombstones cannot be read, which is reported with them."""
    try:
        return snapshot.units()
    except CorruptIndexError:
        return []


def _is_live(units: Sequence[RowUnit], row: int) -> bool:
    """Whether a row is not known to be dead."""
    at = bisect_right(units, row, key=_first_row) - 1
    if at < 0 or row >= units[at].first_row + units[at].rows:
        return True
    dead, position = units[at].dead, row - units[at].first_row
    return dead is None or not dead[position >> 3] >> (position & 7) & 1


_first_row = attrgetter("first_row")


def _payloads(snapshot: Snapshot, catalog: Catalog) -> Iterator[Problem]:
    geometry, state, first = snapshot.records.schema.geometry, snapshot.records.state, catalog.payloads_from
    next_row = geometry.next_row(state)
    stored = geometry.stored(snapshot.records.table.entries, state)
    ends = {segment: geometry.first_row(segment) + rows for segment, rows in stored}
    staged = snapshot.records.get("meta", records.STAGED_KEY) is not None
    units = _units(snapshot)
    # By segment: the row that its next record must begin with
    expected = {} if first is None else {segment: max(geometry.first_row(segment), first) for segment in ends}
    keys = snapshot.records.keys("payloads")
    for raw, following in zip(keys, [*keys[1:], b"\xff" * 8], strict=False):
        first_row = int.from_bytes(raw, "big")
        if first_row >= next_row and staged:
            break  # left by a transaction that never ended
        name, (segment, _) = records.record_name(records.PAYLOADS, first_row), geometry.locate(first_row)
        if expected.get(segment) != first_row:
            yield Problem(19, name, f"row {expected.get(segment)} should come next")
        try:
            record = open_payloads(snapshot.records.get("payloads", raw), first_row)
        except CorruptIndexError as error:
            yield Problem(18, name, str(error))
            expected[segment] = min(ends.get(segment, 0), int.from_bytes(following, "big"))
            continue
        expected[segment] = record.stop
        if record.stop > geometry.first_row(segment + 1):
            yield Problem(19, name, f"reaches up to row {record.stop - 1}, beyond its segment")
        for row, content in record.contents(0, next_row):
            if not _is_live(units, row):
                continue
            try:
                unpack_payload(content, row, catalog.names)
            except CorruptIndexError as error:
                yield Problem(18, name, str(error))
    for segment, row in expected.items():
        if row < ends.get(segment, 0):
            yield Problem(19, f"payloads of segment {segment}", f"those from row {row} on are missing")


def _columns(snapshot: Snapshot, catalog: Catalog, *, deep: bool) -> Iterator[Problem]:
    get, geometry, state = snapshot.records.get, snapshot.records.schema.geometry, snapshot.records.state
    for unit in _units(snapshot):
        for number, name in enumerate(catalog.fields):
            place, sealed = unit.place
            column: FieldColumn | None
            record = records.record_name(records.FIELD if sealed else records.FIELD_TAIL, place, number)
            try:
                if sealed:
                    column = read_field(get, place, number, unit.rows)
                else:
                    column = read_tail_field(get, place, number, geometry.chunk_rows)
                if column is None or column.rows != unit.rows:
                    yield Problem(20, record, f"of {column and column.rows} rows, not {unit.rows}")
                    continue
                if number == state.expiry:
                    yield from _ends(unit, column, record)
                if deep:
                    yield from _compare(snapshot, unit, column, name, record)
            except CorruptIndexError as error:
                yield Problem(20, record, str(error))
    chunks = geometry.tail_chunks(state)
    staged = get("meta", records.STAGED_KEY) is not None
    for database in ("fields", "tailfields"):
        for raw in snapshot.records.keys(database):
            place, number = int.from_bytes(raw[:8], "big"), int.from_bytes(raw[8:], "big")
            owned = place in snapshot.records.table.entries if database == "fields" else place in chunks
            if not (owned and number < len(catalog.fields)) and not (staged and place >= state.open_segment):
                yield Problem(20, f"{database} ({place}, {number})", "belongs to nothing")


def _ends(unit: RowUnit, column: FieldColumn, record: str) -> Iterator[Problem]:
    """Invariant 32 for the rows of a unit."""
    others = np.unpackbits(others_than_ends(column), count=unit.rows, bitorder="little")
    wrong = np.intersect1d(np.flatnonzero(others), live_positions(unit.dead, unit.rows))
    if len(wrong):
        yield Problem(32, record, f"row {unit.first_row + int(wrong[0])} has no datetime where its end should be")


def _compare(snapshot: Snapshot, unit: RowUnit, column: FieldColumn, name: str, record: str) -> Iterator[Problem]:
    """Invariant 21 for the rows of a unit."""
    told, found = FieldEntries(), FieldEntries()
    live = _live(unit)
    new_position = np.full(unit.rows, -1, dtype=np.int64)
    new_position[live - unit.first_row] = live - unit.first_row
    column.entries(told, new_position)
    unreadable: set[int] = set()  # that they are is said of (18)
    payloads = snapshot.payloads_of(live, lambda row, _: unreadable.add(row - unit.first_row))
    for row, payload in zip(live.tolist(), payloads, strict=True):
        value = ABSENT if payload is None else field_value(payload, name)
        if value is not ABSENT:
            found.add(row - unit.first_row, value)
    different = {entry for entry in told.as_set() ^ found.as_set() if entry[2] not in unreadable}
    if different:
        _, _, position = min(different, key=lambda entry: entry[2])
        yield Problem(21, record, f"does not say of row {unit.first_row + position} what its payload says")


def _sets(snapshot: Snapshot, catalog: Catalog) -> Iterator[Problem]:
    owned: dict[int, int] = {}
    chunk_ids = snapshot.records.generation.limits.set_chunk_ids
    for name, saved in catalog.sets.items():
        owned[saved.number] = saved.chunks(chunk_ids)
        if saved.number >= catalog.next_set:
            yield Problem(23, f"set {name!r}", f"its number {saved.number} is not below {catalog.next_set}")
        try:
            read_set(snapshot.records.get, snapshot.records.schema.codec, saved, chunk_ids)
        except CorruptIndexError as error:
            yield Problem(23, f"set {name!r}", str(error))
    if len({saved.number for saved in catalog.sets.values()}) < len(catalog.sets):
        yield Problem(23, "catalog", "two sets have one number")
    for raw in snapshot.records.keys("sets"):
        key = int.from_bytes(raw[:8], "big"), int.from_bytes(raw[8:], "big")
        if len(raw) != 16 or key[1] >= owned.get(key[0], 0):
            yield Problem(23, f"sets {key}", "belongs to nothing")


def _originals(snapshot: Snapshot, *, deep: bool) -> Iterator[Problem]:
    schema, originals = snapshot.records.schema, snapshot.records.generation.originals
    rng = np.random.default_rng(snapshot.records.state.commit)
    for unit in _units(snapshot):
        rows = _live(unit)
        if not deep and len(rows) > _SAMPLE:
            rows = np.union1d(rng.choice(rows, _SAMPLE, replace=False), rows[-1:])
        segment, _ = schema.geometry.locate(unit.first_row)
        for problem in originals.problems(rows, schema.identity.row_bytes, schema.geometry.segment_rows):
            yield Problem(22, f"originals of segment {segment}", problem)
