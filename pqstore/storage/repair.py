"""A new index from every record of a damaged one whose checksum holds."""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lmdb
import numpy as np
import numpy.typing as npt

from pqstore.errors import CorruptIndexError
from pqstore.storage import generations, layout
from pqstore.storage.bitmap import live_positions
from pqstore.storage.catalog import Catalog
from pqstore.storage.data_file import DATA_FILE, structure_problems
from pqstore.storage.idmap.runs import chunk_of
from pqstore.storage.ids import IdCodec, IdColumn
from pqstore.storage.layout import I64, U8
from pqstore.storage.packing import RowPacking
from pqstore.storage.salvage import AttachmentSalvage
from pqstore.storage.state import Identity, State
from pqstore.storage.store import Store

__all__ = ["RepairReport", "repair"]


@dataclass(slots=True)
class RepairReport:
    """What a repair found. Row counts are of rows that were stored, removed ones not counted."""

    source: Path
    destination: Path
    rows_salvaged: int = 0
    rows_lost: int = 0
    """Rows known to be missing: in segments and chunks whose codes or ids are damaged."""
    scanned: bool = False
    """The trees of the data file were damaged, and records were looked for byte by byte. Rows that were removed or
    replaced shortly before may be back."""
    losses: list[str] = field(default_factory=list)
    """One line for each record that is damaged or missing, and what that means."""


Key = tuple[int, int, int]
Records = dict[Key, layout.Record]


def repair(
    path: str | os.PathLike[str],
    destination: str | os.PathLike[str],
    packing_of: Callable[[Mapping[str, Any]], RowPacking],
) -> RepairReport:
    """Make a new index at `destination` of what is sound in the index at `path`, which is only read.

    Raises `IndexNotFoundError`, `IndexExistsError`, and `CorruptIndexError` when the identity of the index or its
    arrays are damaged: codes mean nothing without them.
    """
    source, target = Path(path).absolute(), Path(destination).absolute()
    generations.check_vacant(target)
    directory = generations.generation_path(source, generations.newest_generation(source))
    report = RepairReport(source, target)
    if structure_problems(directory):
        report.scanned = True
        report.losses.append("the trees of the data file are damaged; its bytes were searched for records")
        file = (directory / DATA_FILE).open("rb")
        with file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            records, arrays, identity = _scan(content)
            try:
                _rebuild(records, arrays, identity, packing_of, report, _attached(directory, identity, records, report))
            finally:
                records.clear()  # views of the map
        return report
    with lmdb.open(str(directory), max_dbs=64, readonly=True, lock=False, map_size=1 << 40, lib_version=0) as env:
        databases = {name: env.open_db(name.encode(), create=False) for name in layout.DATABASES}
        with env.begin(buffers=True) as txn:
            records, arrays, identity = _collect(txn, databases, report)
            attached = _attached(directory, identity, records, report)
            _rebuild(records, arrays, identity, packing_of, report, attached)
            records.clear()
    return report


# -- finding records -------------------------------------------------------------------------------------------------


def _collect(txn: Any, databases: dict[str, Any], report: RepairReport) -> tuple[Records, dict[str, Any], Identity]:
    """All sound records, by the trees."""
    identity = Identity.unpack(txn.get(layout.IDENTITY_KEY, db=databases["meta"]))
    arrays = {n: layout.unpack_array(txn.get(n.encode(), db=databases["quantizer"]), n) for n in identity.arrays}
    records: Records = {}
    try:
        records[layout.STATE, 0, 0] = layout.open_record(txn.get(layout.STATE_KEY, db=databases["meta"]), layout.STATE)
    except CorruptIndexError as error:
        report.losses.append(f"{error}; worked out from the other records")
    try:
        catalog = txn.get(layout.CATALOG_KEY, db=databases["meta"])
        records[layout.CATALOG, 0, 0] = layout.open_record(catalog, layout.CATALOG)
    except CorruptIndexError as error:
        report.losses.append(str(error))
    kinds = {
        "segments": layout.SEGMENT,
        "codes": layout.CODES,
        "rowids": layout.ROWIDS,
        "tombstones": layout.TOMBSTONES,
        "tail": layout.TAIL_CODES,
        "runchunks": layout.RUN_CHUNK,
        "payloads": layout.PAYLOADS,
        "sets": layout.SET_CHUNK,
    }
    for database, kind in kinds.items():
        for raw, value in txn.cursor(db=databases[database]):
            key = [int.from_bytes(raw[at : at + 8], "big") for at in range(0, len(raw), 8)]
            key_0, key_1 = [*key, 0][:2]
            its_kind = layout.tail_kind(key_0) if kind == layout.TAIL_CODES else kind
            try:
                records[its_kind, key_0, key_1] = layout.open_record(value, its_kind, key_0, key_1)
            except CorruptIndexError as error:
                report.losses.append(str(error))
                records[its_kind, key_0, key_1] = layout.Record(-1, -1, memoryview(b""))  # there, but unreadable
    return records, arrays, identity


def _scan(content: mmap.mmap) -> tuple[Records, dict[str, Any], Identity]:
    """All sound records, wherever they lie; of several with one name the latest."""
    view = memoryview(content)
    records: Records = {}
    arrays: dict[str, Any] = {}
    identity: Identity | None = None
    at = content.find(layout.MAGIC)
    while at >= 0:
        header = layout.peek(view[at:])
        if header is not None:
            kind, key_0, key_1, size = header
            value = view[at : at + size]
            record = layout.open_record(value, kind, key_0, key_1)
            if kind == layout.IDENTITY:
                identity = Identity.unpack(value)
            elif kind == layout.ARRAY:
                name = layout.array_name(value)
                arrays[name] = layout.unpack_array(value, name)
            elif _age(kind, record) >= _age(kind, records.get((kind, key_0, key_1))):
                records[kind, key_0, key_1] = record
        at = content.find(layout.MAGIC, at + 1)
    if identity is None:
        raise CorruptIndexError("the identity of the index is damaged: nothing can be salvaged without it")
    for name in identity.arrays:
        if name not in arrays:
            raise CorruptIndexError(f"array {name!r} is damaged: codes mean nothing without it")
    return records, {name: arrays[name] for name in identity.arrays}, identity


def _age(kind: int, record: layout.Record | None) -> int:
    """Larger for the later of two versions of a record: commits, dead rows and rows of a chunk only grow."""
    if record is None:
        return -1
    if kind == layout.SEGMENT:
        return int.from_bytes(record.payload[8:16], "little")
    return record.entries


def _attached(directory: Path, identity: Identity, records: Records, report: RepairReport) -> AttachmentSalvage:
    """Originals, payloads and sets, as far as they can be read."""
    record = records.get((layout.CATALOG, 0, 0))
    catalog = None if record is None else Catalog.from_record(record)
    payloads = {
        key_0: record for (kind, key_0, _), record in records.items() if kind == layout.PAYLOADS and record.entries >= 0
    }
    sets = {(key_0, key_1): record for (kind, key_0, key_1), record in records.items() if kind == layout.SET_CHUNK}
    return AttachmentSalvage(directory, identity, catalog, payloads, sets, report)


# -- a new index of them ---------------------------------------------------------------------------------------------


def _rebuild(
    records: Records,
    arrays: dict[str, npt.NDArray[Any]],
    identity: Identity,
    packing_of: Callable[[Mapping[str, Any]], RowPacking],
    report: RepairReport,
    attached: AttachmentSalvage,
) -> None:
    packing = packing_of(identity.settings)
    store = Store.create(
        report.destination,
        identity.settings,
        arrays,
        packing,
        identity.id_type,
        "relaxed" if identity.durability == "relaxed" else "full",
        bulk=True,
        segment_rows=identity.segment_rows,
        row_bytes=identity.row_bytes,
        fields=attached.catalog.fields,
    )
    with store:
        salvage = _Salvage(records, identity, packing, report)
        for codes, ids, rows in salvage.pieces():
            # Of two live rows with one id the later one is right: it was appended when the id was free.
            with store.write() as txn:
                given = ids.user().copy()
                _, last = (
                    np.unique(given[::-1], return_index=True) if len(given) else (None, np.empty(0, dtype=np.int64))
                )
                keep = np.sort(len(given) - 1 - last)
                sound, originals, payloads = attached.of(rows[keep])
                keep = keep[sound]
                earlier = txn.rows_of(given[keep])
                txn.kill(earlier[earlier >= 0])
                txn.append(codes[keep], given[keep], originals, payloads)
        if attached.catalog.notes:
            with store.write() as txn:
                for name, note in attached.catalog.notes.items():
                    txn.set_note(name, note)
        with store.write() as txn:
            for name, members in attached.sets():
                txn.save_set(name, members)
        with store.read() as snapshot:
            report.rows_salvaged = snapshot.live_rows
        store.publish()


class _Salvage:
    """Rows, piece by piece in row order, of the records that were found."""

    def __init__(self, records: Records, identity: Identity, packing: RowPacking, report: RepairReport) -> None:
        self._records = records
        self._packing = packing
        self._report = report
        self._segment_rows = identity.segment_rows
        self._chunk_rows = identity.chunk_rows
        self._codec = IdCodec(identity.id_type, identity.hash_key)
        self._state = self._read_state()

    def _read_state(self) -> State | None:
        record = self._records.get((layout.STATE, 0, 0))
        if record is None:
            return None
        return State.from_record(record)

    def pieces(self) -> Iterator[tuple[npt.NDArray[Any], IdColumn, I64]]:
        """(codes, ids, row numbers) of live rows."""
        sealed = {key[1] for key in self._records if key[0] in (layout.SEGMENT, layout.CODES)}
        if self._state is not None:
            sealed = {segment for segment in sealed if segment < self._state.open_segment}
        elif not self._report.scanned:
            # Codes without an entry may have been staged by a transaction that never ended.
            listed = {key[1] for key in self._records if key[0] == layout.SEGMENT}
            sealed &= listed
        for segment in sorted(sealed):
            yield from self._segment(segment)
        yield from self._tail()

    def _segment(self, segment: int) -> Iterator[tuple[npt.NDArray[Any], IdColumn, I64]]:
        rows = self._segment_rows
        codes = self._codes((layout.CODES, segment, 0), rows)
        live = live_positions(self._tombstones(segment), rows)
        if codes is None:
            self._lose(len(live), f"codes of segment {segment} are damaged or missing")
            return
        ids = self._ids((layout.ROWIDS, segment, 0), rows)
        if ids is None and self._codec.keys_are_ids:
            live, ids = self._ids_from_map(segment, live)
        if ids is None:
            self._lose(len(live), f"ids of segment {segment} are damaged or missing")
            return
        yield self._packing.gather(codes, live), ids.take(live) if len(ids) == rows else ids, live + segment * rows

    def _tail(self) -> Iterator[tuple[npt.NDArray[Any], IdColumn, I64]]:
        chunks = sorted({key[2] for key in self._records if key[0] in (layout.TAIL_CODES, layout.TAIL_IDS)})
        per_segment = self._segment_rows // self._chunk_rows
        if self._state is not None:
            first = self._state.open_segment * per_segment
            chunks = list(range(first, first + -(-self._state.tail_rows // self._chunk_rows)))
        elif chunks:
            newest = chunks[-1] // per_segment
            chunks = [chunk for chunk in chunks if chunk // per_segment == newest]
        for chunk in chunks:
            codes_record = self._records.get((layout.TAIL_CODES, layout.COLUMN_CODES, chunk))
            rows = codes_record.entries if codes_record is not None and codes_record.entries >= 0 else 0
            codes = self._codes((layout.TAIL_CODES, layout.COLUMN_CODES, chunk), rows)
            ids = self._ids((layout.TAIL_IDS, layout.COLUMN_IDS, chunk), rows)
            segment, at = chunk // per_segment, chunk % per_segment * self._chunk_rows
            if codes is None or ids is None:
                expected = self._chunk_rows
                if self._state is not None:
                    expected = min(expected, self._state.tail_rows - at)
                self._lose(expected, f"chunk {chunk} of the tail is damaged or missing")
                continue
            dead = self._tombstones(segment)
            live = live_positions(None if dead is None else dead[at // 8 : (at + self._chunk_rows) // 8], rows)
            yield self._packing.gather(codes, live), ids.take(live), live + chunk * self._chunk_rows

    def _lose(self, rows: int, why: str) -> None:
        self._report.rows_lost += rows
        self._report.losses.append(f"{why}: {rows} rows are lost")

    def _codes(self, key: Key, rows: int) -> U8 | None:
        record = self._records.get(key)
        if (
            record is None
            or record.entries != rows
            or len(record.payload) != self._packing.packed_size(rows)
            or not rows
        ):
            return None
        return np.frombuffer(record.payload, dtype=np.uint8)

    def _ids(self, key: Key, rows: int) -> IdColumn | None:
        record = self._records.get(key)
        if record is None or record.entries != rows:
            return None
        return self._codec.decode(record, layout.record_name(*key))

    def _tombstones(self, segment: int) -> U8 | None:
        record = self._records.get((layout.TOMBSTONES, segment, 0))
        if record is None:
            entry = self._records.get((layout.SEGMENT, segment, 0))
            dead = int.from_bytes(entry.payload[:8], "little") if entry is not None and entry.entries >= 0 else 0
            if dead:
                self._report.losses.append(f"tombstones of segment {segment} are missing: {dead} removed rows are back")
            return None
        if len(record.payload) != self._segment_rows // 8:
            self._report.losses.append(f"tombstones of segment {segment} are damaged: its removed rows are back")
            return None
        return np.frombuffer(record.payload, dtype=np.uint8)

    def _ids_from_map(self, segment: int, live: I64) -> tuple[I64, IdColumn | None]:
        """int64 ids of a segment whose own record is damaged, by the id map: the live positions found, and ids."""
        first = segment * self._segment_rows
        positions: list[I64] = []
        ids: list[I64] = []
        for (kind, run, ordinal), record in self._records.items():
            if kind != layout.RUN_CHUNK or record.entries < 0:
                continue
            keys, offsets, base = chunk_of(record, run, ordinal)
            rows = offsets.astype(np.int64) + base - first
            inside = np.flatnonzero((rows >= 0) & (rows < self._segment_rows))
            positions.append(rows[inside])
            ids.append((keys[inside] ^ np.uint64(1 << 63)).view(np.int64))
        for entry in self._state.ranges if self._state is not None else ():
            start, stop = max(entry.first_row, first), min(entry.first_row + entry.count, first + self._segment_rows)
            if start < stop:
                rows = np.arange(start, stop, dtype=np.int64)
                positions.append(rows - first)
                ids.append(rows - entry.first_row + entry.first_id)
        if not positions:
            return live, None
        found, where = np.unique(np.concatenate(positions), return_index=True)
        keep = np.isin(found, live)
        found, where = found[keep], where[keep]
        if len(found) == 0:
            return live, None
        if len(found) < len(live):
            self._lose(len(live) - len(found), f"ids of segment {segment} are damaged, and some are not in the id map")
        self._report.losses.append(f"ids of segment {segment} are damaged: {len(found)} were found in the id map")
        return found, self._codec.column(np.concatenate(ids)[where])
