"""A rebuilding that somebody else has begun and not ended: looked over as anything out of a file, then gone on with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from pqstore.errors import CorruptIndexError
from pqstore.log import info
from pqstore.storage.disk.lmdb_errors import storage_errors
from pqstore.storage.disk.system_errors import opening
from pqstore.storage.format import records
from pqstore.storage.format.catalog import Catalog
from pqstore.storage.format.rebuild_note import RebuildNote
from pqstore.storage.format.state import Identity
from pqstore.storage.transactions.committed import CommittedRecords
from pqstore.storage.transactions.open_index import share
from pqstore.storage.transactions.rebuilding_places import clear_places, free_places
from pqstore.storage.transactions.snapshot import Snapshot
from pqstore.storage.upkeep.rebuild_plan import Resumption, identity_of
from pqstore.storage.upkeep.rebuilt_copy import RebuiltCopy, give_back
from pqstore.storage.upkeep.verify import UNFINISHED, verify

__all__ = ["take_over"]

_BLOCK = 65_536
_OF = 10  # with more new rows than one of so many, a codebook is trained on what there is now


def take_over(index: Path, begun: Snapshot, resumption: Resumption | None) -> RebuiltCopy | None:
    """What a dead process has made of an earlier state of this index towards the same end, with only rows that still
    count; None where there is nothing of the kind. Everything else that the dead have left is removed."""
    found = None
    if resumption is not None:
        for place, held in free_places(index):
            found = _taken(index, place, held, begun, resumption)
            if found is not None:
                break
    clear_places(index, everything=True)
    return found


def _taken(index: Path, place: Path, held: BinaryIO, begun: Snapshot, resumption: Resumption) -> RebuiltCopy | None:
    """The copy in a place that is held; None, and the place is gone, where it cannot be gone on with."""
    copy = None
    try:
        copy = _opened(index, place, held, begun, resumption)
        _keep_what_counts(copy, begun)
    except BaseException as error:
        if copy is None:
            give_back(place, held)
        else:
            copy.give_up()
        if not isinstance(error, Exception):
            raise
        info("index at %s: an unfinished rebuilding is begun anew: %s", index, error)
        return None
    info("index at %s: an unfinished rebuilding is gone on with", index)
    return copy


def _opened(index: Path, place: Path, held: BinaryIO, begun: Snapshot, resumption: Resumption) -> RebuiltCopy:
    """The copy in a place.

    Raises:
        CorruptIndexError: it is of something else, or damaged.
    """
    shared = share(place, limits=begun.records.generation.limits)
    try:
        generation, txn, lease = shared.begin_read(place)
        try:
            with storage_errors(place), opening(place):
                meta, quantizer = (generation.environment.databases[name] for name in ("meta", "quantizer"))
                catalog = Catalog.unpack(txn.get(records.CATALOG_KEY, db=meta))
                note = RebuildNote.of(catalog.notes)
                _check_note(note, begun, resumption)
                arrays = {
                    name: records.unpack_array(txn.get(name.encode(), db=quantizer), name)
                    for name in generation.identity.arrays
                }
            wanted = resumption.plan(begun, generation.identity.settings, arrays)
            _check_identity(generation.identity, identity_of(begun.records.schema.identity, wanted, catalog.fields))
            schema = generation.schema(lambda _: wanted.packing)
            there = Snapshot(CommittedRecords(schema, generation, txn, txn.id()), None)
            problems = [problem for problem in verify(there, deep=False) if problem.invariant != UNFINISHED]
            if problems:
                raise CorruptIndexError(str(problems[0]))
        finally:
            txn.abort()
            lease.end()
        return RebuiltCopy(index, place, held, wanted, begun, note)
    finally:
        shared.release()


def _check_note(note: RebuildNote, begun: Snapshot, resumption: Resumption) -> None:
    """It is made of this index as it is numbered now, towards the same end, and most rows were there then."""
    next_row = begun.records.schema.geometry.next_row(begun.records.state)
    if note.source != begun.records.schema.identity.created or note.asked != dict(resumption.asked):
        raise CorruptIndexError("it was begun towards something else")
    if not note.next_row <= next_row or note.began_at > next_row:
        raise CorruptIndexError("it has rows that the index does not have")
    if (next_row - note.began_at) * _OF > note.began_with:
        raise CorruptIndexError("more than a tenth of the rows are new since")


def _check_identity(found: Identity, expected: Identity) -> None:
    """It is what would be begun now, but for the time, and for lists that are made at the end."""
    features = tuple(name for name in found.features if name != records.LISTS)
    if replace(found, created=expected.created, features=features) != expected:
        raise CorruptIndexError("it is of another index, or of another version")


def _keep_what_counts(copy: RebuiltCopy, begun: Snapshot) -> None:
    """Remove rows whose ids are gone by now, or belong to rows that are yet to come.

    A row of the index that is live now was so at every earlier state that has it: those before the row that comes next
    are all here, then.
    """
    expected = 0
    for rows in begun.rows.live_blocks(_BLOCK):
        expected += int((rows < copy.next_row).sum())
    with copy.read() as there:
        if begun.catalog.fields[: len(there.catalog.fields)] != there.catalog.fields:
            raise CorruptIndexError("its fields are others")
        for ids in there.iter_ids(_BLOCK):
            rows = begun.rows_of(ids)
            copy.remove(ids[(rows < 0) | (rows >= copy.next_row)])
    with copy.read() as there:
        if there.live_rows != expected:
            raise CorruptIndexError(f"it has {there.live_rows} rows, and should have {expected}")
