"""A new index from every record of a damaged one whose checksum holds."""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pqstore.arrays import I64
from pqstore.errors import CorruptIndexError
from pqstore.paths import as_path
from pqstore.storage.attachments.field_paths import field_name, stored_field
from pqstore.storage.disk import directory
from pqstore.storage.disk.data_file import DataFile, open_data_file, structure_problems
from pqstore.storage.disk.lmdb_meta import DamagedFileError, read_metas
from pqstore.storage.format import records
from pqstore.storage.format.rebuild_note import REBUILD_NOTE
from pqstore.storage.format.state import State
from pqstore.storage.limits import STANDARD, Limits
from pqstore.storage.repair.attachments import AttachmentSalvage
from pqstore.storage.repair.records import FoundRecords, by_search, by_trees
from pqstore.storage.repair.report import RepairReport
from pqstore.storage.repair.rows import RowSalvage
from pqstore.storage.rows.id_columns import IdColumn
from pqstore.storage.rows.packing import RowPacking, chunk_rows_for
from pqstore.storage.rows.schema import Schema
from pqstore.storage.store import Store
from pqstore.storage.transactions.expiry import row_without_end, set_expiry

__all__ = ["RepairReport", "repair"]


def repair(
    path: str | os.PathLike[str],
    destination: str | os.PathLike[str],
    packing_of: Callable[[Mapping[str, Any]], RowPacking],
    limits: Limits = STANDARD,
) -> RepairReport:
    """Make a new index at `destination` of what is sound in the index at `path`, which is only read.

    Raises `IndexNotFoundError`, `IndexExistsError`, and `CorruptIndexError` when the identity of the index or its
    arrays are damaged: codes mean nothing without them.
    """
    source, target = as_path(path).absolute(), as_path(destination).absolute()
    directory.check_vacant(target)
    generation = directory.generation_path(source, directory.newest_generation(source))
    report = RepairReport(source, target)
    found = _found(generation, report)
    schema = Schema(found.identity, packing_of(found.identity.settings))
    rows = RowSalvage(found, schema, limits, report)
    attachments = AttachmentSalvage(generation, found, schema, limits, report)
    with _bulk_store(found, schema, attachments.catalog.fields, limits, report) as store:
        _fill(store, rows, attachments)
        _set_expiry(store, found, attachments.catalog.fields, report)
        with store.read(as_stored=True) as snapshot:
            report.rows_salvaged = snapshot.live_rows
        store.publish()
    return report


def _found(generation: Path, report: RepairReport) -> FoundRecords:
    """The sound records of a generation: views of its file, which is mapped as long as there is one of them."""
    descriptor = open_data_file(generation)
    try:
        if os.fstat(descriptor).st_size == 0:
            raise CorruptIndexError(f"{generation}: the data file is empty, nothing can be salvaged")
        content = mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ)
        if not _problems(generation):
            # Identity or arrays that the trees have lost may still lie about; so may pages that others write over.
            with suppress(CorruptIndexError, DamagedFileError):
                return by_trees(memoryview(content), read_metas(descriptor)[0].main, report)
    finally:
        os.close(descriptor)
    report.scanned = True
    report.losses.append("the trees of the data file are damaged; its bytes were searched for records")
    return by_search(content)


def _problems(generation: Path) -> list[str]:
    file = DataFile(generation)
    try:
        return structure_problems(file)
    finally:
        file.close()


def _bulk_store(
    found: FoundRecords, schema: Schema, fields: Sequence[str], limits: Limits, report: RepairReport
) -> Store:
    """An empty index like the damaged one, without its name yet."""
    identity = found.identity
    chunk_rows = min(identity.segment_rows, chunk_rows_for(schema.packing))
    return Store.create(
        report.destination,
        identity.settings,
        found.arrays,
        schema.packing,
        identity.id_type,
        "relaxed" if identity.durability == "relaxed" else "full",
        bulk=True,
        segment_rows=identity.segment_rows if identity.segment_rows % chunk_rows == 0 else None,
        row_bytes=identity.row_bytes,
        fields=tuple(dict.fromkeys(stored_field(field_name(field)) for field in fields)),
        limits=limits,
    )


def _fill(store: Store, rows: RowSalvage, attachments: AttachmentSalvage) -> None:
    """Everything that was saved, a transaction a piece."""
    for codes, ids, numbers in rows.pieces():
        _add(store, codes, ids, numbers, attachments)
    with store.write() as txn:
        for name, note in attachments.catalog.notes.items():
            if name != REBUILD_NOTE:
                txn.set_note(name, note)
    with store.write() as txn:
        for name, members in attachments.sets():
            txn.save_set(name, members)


def _set_expiry(store: Store, found: FoundRecords, fields: Sequence[str], report: RepairReport) -> None:
    """Let rows end as they did."""
    if records.EXPIRY not in found.identity.features:
        return
    number, why = None, "which field says so is lost with the state"
    record = found.sound.get((records.STATE, 0, 0))
    with suppress(CorruptIndexError):
        number = None if record is None else State.from_record(record).expiry
    if number is not None and number < len(fields):
        name = stored_field(field_name(fields[number]))
        with store.write() as txn:
            row = row_without_end(txn, name)
            if row is None:
                set_expiry(txn, name)
                return
        why = f"a vector has no datetime in the field {field_name(name)!r}"
    report.losses.append(f"vectors do not expire any more: {why}; declare it anew with set_expiry()")


def _add(store: Store, codes: npt.NDArray[Any], ids: IdColumn, numbers: I64, attachments: AttachmentSalvage) -> None:
    """Add rows, with what they bring along. Of two live rows with one id the later one is right: it was appended when
    the id was free."""
    given = ids.user().copy()
    if len(given) == 0:
        return
    _, last = np.unique(given[::-1], return_index=True)
    keep = np.sort(len(given) - 1 - last)
    whole, originals, payloads = attachments.of(numbers[keep])
    keep = keep[whole]
    with store.write() as txn:
        earlier = txn.rows_of(given[keep])
        txn.kill(earlier[earlier >= 0])
        txn.append(codes[keep], given[keep], originals, payloads)
