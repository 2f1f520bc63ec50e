"""A new index from every record of a damaged one whose checksum holds."""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import lmdb
import numpy as np
import numpy.typing as npt

from pqstore.errors import CorruptIndexError
from pqstore.storage.disk import directory
from pqstore.storage.disk.data_file import open_data_file, structure_problems
from pqstore.storage.format import records
from pqstore.storage.format.catalog import Catalog
from pqstore.storage.format.state import Identity
from pqstore.storage.repair.attachments import AttachmentSalvage
from pqstore.storage.repair.report import RepairReport
from pqstore.storage.repair.rows import Records, RowSalvage
from pqstore.storage.rows.packing import RowPacking
from pqstore.storage.store import Store

__all__ = ["RepairReport", "repair"]


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
    directory.check_vacant(target)
    generation = directory.generation_path(source, directory.newest_generation(source))
    report = RepairReport(source, target)
    if structure_problems(generation):
        report.scanned = True
        report.losses.append("the trees of the data file are damaged; its bytes were searched for records")
        sound, arrays, identity = _scan(_mapped(generation))
        _rebuild(sound, arrays, identity, packing_of, report, _attached(generation, identity, sound, report))
        return report
    with lmdb.open(str(generation), max_dbs=64, readonly=True, lock=False, map_size=1 << 40, lib_version=0) as env:
        databases = {name: env.open_db(name.encode(), create=False) for name in records.DATABASES}
        with env.begin(buffers=True) as txn:
            sound, arrays, identity = _collect(txn, databases, report)
            attached = _attached(generation, identity, sound, report)
            _rebuild(sound, arrays, identity, packing_of, report, attached)
            sound.clear()
    return report


# -- finding records -------------------------------------------------------------------------------------------------


def _collect(txn: Any, databases: dict[str, Any], report: RepairReport) -> tuple[Records, dict[str, Any], Identity]:
    """All sound records, by the trees."""
    identity = Identity.unpack(txn.get(records.IDENTITY_KEY, db=databases["meta"]))
    arrays = {n: records.unpack_array(txn.get(n.encode(), db=databases["quantizer"]), n) for n in identity.arrays}
    sound: Records = {}
    try:
        sound[records.STATE, 0, 0] = records.open_record(
            txn.get(records.STATE_KEY, db=databases["meta"]), records.STATE
        )
    except CorruptIndexError as error:
        report.losses.append(f"{error}; worked out from the other records")
    try:
        catalog = txn.get(records.CATALOG_KEY, db=databases["meta"])
        sound[records.CATALOG, 0, 0] = records.open_record(catalog, records.CATALOG)
    except CorruptIndexError as error:
        report.losses.append(str(error))
    kinds = {
        "segments": records.SEGMENT,
        "codes": records.CODES,
        "rowids": records.ROWIDS,
        "tombstones": records.TOMBSTONES,
        "tail": records.TAIL_CODES,
        "runchunks": records.RUN_CHUNK,
        "payloads": records.PAYLOADS,
        "sets": records.SET_CHUNK,
    }
    for database, kind in kinds.items():
        for raw, value in txn.cursor(db=databases[database]):
            key = [int.from_bytes(raw[at : at + 8], "big") for at in range(0, len(raw), 8)]
            key_0, key_1 = [*key, 0][:2]
            its_kind = records.tail_kind(key_0) if kind == records.TAIL_CODES else kind
            try:
                sound[its_kind, key_0, key_1] = records.open_record(value, its_kind, key_0, key_1)
            except CorruptIndexError as error:
                report.losses.append(str(error))
                sound[its_kind, key_0, key_1] = records.Record(-1, -1, memoryview(b""))  # there, but unreadable
    return sound, arrays, identity


def _mapped(generation: Path) -> mmap.mmap:
    """The bytes of the data file; the map goes with its last view, which an error may hold."""
    with os.fdopen(open_data_file(generation), "rb") as file:
        if os.fstat(file.fileno()).st_size == 0:
            raise CorruptIndexError(f"{generation}: the data file is empty, nothing can be salvaged")
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _scan(content: mmap.mmap) -> tuple[Records, dict[str, Any], Identity]:
    """All sound records, wherever they lie; of several with one name the latest."""
    view = memoryview(content)
    sound: Records = {}
    arrays: dict[str, Any] = {}
    identity: Identity | None = None
    at = content.find(records.MAGIC)
    while at >= 0:
        header = records.peek(view[at:])
        if header is not None:
            kind, key_0, key_1, size = header
            value = view[at : at + size]
            record = records.open_record(value, kind, key_0, key_1)
            if kind == records.IDENTITY:
                identity = Identity.unpack(value)
            elif kind == records.ARRAY:
                name = records.array_name(value)
                arrays[name] = records.unpack_array(value, name)
            elif _age(kind, record) >= _age(kind, sound.get((kind, key_0, key_1))):
                sound[kind, key_0, key_1] = record
        at = content.find(records.MAGIC, at + 1)
    if identity is None:
        raise CorruptIndexError("the identity of the index is damaged: nothing can be salvaged without it")
    for name in identity.arrays:
        if name not in arrays:
            raise CorruptIndexError(f"array {name!r} is damaged: codes mean nothing without it")
    return sound, {name: arrays[name] for name in identity.arrays}, identity


def _age(kind: int, record: records.Record | None) -> int:
    """Larger for the later of two versions of a record: commits, dead rows and rows of a chunk only grow."""
    if record is None:
        return -1
    if kind == records.SEGMENT:
        return int.from_bytes(record.payload[8:16], "little")
    return record.entries


def _attached(generation: Path, identity: Identity, sound: Records, report: RepairReport) -> AttachmentSalvage:
    """Originals, payloads and sets, as far as they can be read."""
    record = sound.get((records.CATALOG, 0, 0))
    catalog = None if record is None else Catalog.from_record(record)
    payloads = {
        key_0: record for (kind, key_0, _), record in sound.items() if kind == records.PAYLOADS and record.entries >= 0
    }
    sets = {(key_0, key_1): record for (kind, key_0, key_1), record in sound.items() if kind == records.SET_CHUNK}
    return AttachmentSalvage(generation, identity, catalog, payloads, sets, report)


# -- a new index of them ---------------------------------------------------------------------------------------------


def _rebuild(
    sound: Records,
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
        salvage = RowSalvage(sound, identity, packing, report)
        for codes, ids, rows in salvage.pieces():
            # Of two live rows with one id the later one is right: it was appended when the id was free.
            with store.write() as txn:
                given = ids.user().copy()
                _, last = (
                    np.unique(given[::-1], return_index=True) if len(given) else (None, np.empty(0, dtype=np.int64))
                )
                keep = np.sort(len(given) - 1 - last)
                whole, originals, payloads = attached.of(rows[keep])
                keep = keep[whole]
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
